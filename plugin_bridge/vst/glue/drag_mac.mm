// Drag source for macOS. Compiled only there; not tested by us.
#include "drag.hpp"

#import <AppKit/AppKit.h>

@interface AceStepDragSource : NSObject <NSDraggingSource>
@end

@implementation AceStepDragSource
- (NSDragOperation)draggingSession:(NSDraggingSession*)session sourceOperationMaskForDraggingContext:(NSDraggingContext)context {
    return NSDragOperationCopy;
}
@end

namespace acestep {

struct DragSource::Impl {
    AceStepDragSource* source = [[AceStepDragSource alloc] init];
};

DragSource::DragSource() : impl_(std::make_unique<Impl>()) {}
DragSource::~DragSource() = default;

bool DragSource::active() const { return false; }  // AppKit runs the drag by itself

void DragSource::start(const std::vector<std::string>& paths, std::uintptr_t window) {
    NSView* view = (__bridge NSView*)reinterpret_cast<void*>(window);
    NSPoint at = [view convertPoint:[[NSApp currentEvent] locationInWindow] fromView:nil];
    NSMutableArray<NSDraggingItem*>* items = [NSMutableArray array];
    for (const std::string& path : paths) {
        NSURL* url = [NSURL fileURLWithPath:[NSString stringWithUTF8String:path.c_str()]];
        NSDraggingItem* item = [[NSDraggingItem alloc] initWithPasteboardWriter:url];
        NSImage* icon = [[NSWorkspace sharedWorkspace] iconForFile:url.path];
        [item setDraggingFrame:NSMakeRect(at.x - 16, at.y - 16, 32, 32) contents:icon];
        [items addObject:item];
    }
    [view beginDraggingSessionWithItems:items event:[NSApp currentEvent] source:impl_->source];
}

}  // namespace acestep
