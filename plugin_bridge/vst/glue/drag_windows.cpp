// Drag source for Windows (OLE). Compiled only there; not tested by us.
#include "drag.hpp"

#include <objidl.h>
#include <ole2.h>
#include <shlobj.h>

#include <filesystem>

namespace acestep {
namespace {

class FileDropSource : public IDropSource {
public:
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID id, void** out) override {
        if (id != IID_IUnknown && id != IID_IDropSource) return *out = nullptr, E_NOINTERFACE;
        *out = this;
        AddRef();
        return S_OK;
    }
    ULONG STDMETHODCALLTYPE AddRef() override { return 2; }   // lives on the stack of start()
    ULONG STDMETHODCALLTYPE Release() override { return 1; }
    HRESULT STDMETHODCALLTYPE QueryContinueDrag(BOOL escape, DWORD keys) override {
        return escape ? DRAGDROP_S_CANCEL : (keys & MK_LBUTTON) ? S_OK : DRAGDROP_S_DROP;
    }
    HRESULT STDMETHODCALLTYPE GiveFeedback(DWORD) override { return DRAGDROP_S_USEDEFAULTCURSORS; }
};

}  // namespace

struct DragSource::Impl {
    bool active = false;
};

DragSource::DragSource() : impl_(std::make_unique<Impl>()) { OleInitialize(nullptr); }
DragSource::~DragSource() { OleUninitialize(); }

bool DragSource::active() const { return impl_->active; }

void DragSource::start(const std::string& path, std::uintptr_t window) {
    PIDLIST_ABSOLUTE item = ILCreateFromPathW(std::filesystem::path(path).wstring().c_str());
    if (!item) return;
    IDataObject* data = nullptr;
    PCUITEMID_CHILD child = ILFindLastID(item);
    PIDLIST_ABSOLUTE folder = ILClone(item);
    ILRemoveLastID(folder);
    if (SUCCEEDED(SHCreateDataObject(folder, 1, &child, nullptr, IID_IDataObject, reinterpret_cast<void**>(&data)))) {
        FileDropSource source;
        DWORD effect = 0;
        impl_->active = true;
        SHDoDragDrop(reinterpret_cast<HWND>(window), data, &source, DROPEFFECT_COPY, &effect);
        impl_->active = false;
        data->Release();
    }
    ILFree(folder);
    ILFree(item);
}

}  // namespace acestep
