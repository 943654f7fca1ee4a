// Dragging a file out of the editor into another window. One implementation per system, chosen when built.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace acestep {

class DragSource {
public:
    DragSource();
    ~DragSource();
    DragSource(const DragSource&) = delete;
    DragSource& operator=(const DragSource&) = delete;

    // Called while the mouse button is held; the drop is wherever it is released. `window` is the editor's native one.
    void start(const std::vector<std::string>& paths, std::uintptr_t window);
    bool active() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace acestep
