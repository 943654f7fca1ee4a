/* What the host needs of Windows: libraries, time, a window, and one that files can be dropped on. */
#define COBJMACROS
#include <windows.h>
#include <ole2.h>
#include <shellapi.h>

#include "host.h"

static HWND drop_window;

long frames_drawn(void) { return -1; }

void* library_open(const char* path) { return (void*)LoadLibraryA(path); }
void* library_symbol(void* library, const char* name) { return (void*)GetProcAddress((HMODULE)library, name); }

bool line_ready(int wait_ms) {
    DWORD bytes = 0;
    const HANDLE input = GetStdHandle(STD_INPUT_HANDLE);
    for (;;) {
        if (!PeekNamedPipe(input, NULL, 0, NULL, &bytes, NULL) || bytes > 0) return true;
        if (wait_ms-- <= 0) return false;
        Sleep(1);
    }
}

int64_t now_ms(void) { return (int64_t)GetTickCount64(); }
void sleep_ms(int ms) { Sleep((DWORD)ms); }

static HWND top_window(const wchar_t* title, int x, int y, int width, int height) {
    static bool known;
    const WNDCLASSW kind = {.lpfnWndProc = DefWindowProcW,
                            .hInstance = GetModuleHandleW(NULL),
                            .lpszClassName = L"TestHost",
                            .hbrBackground = (HBRUSH)(COLOR_WINDOW + 1),
                            .hCursor = LoadCursorW(NULL, (LPCWSTR)IDC_ARROW)};
    if (!known) OleInitialize(NULL), RegisterClassW(&kind), known = true;
    RECT area = {0, 0, width, height};
    AdjustWindowRect(&area, WS_OVERLAPPEDWINDOW, FALSE);
    return CreateWindowW(L"TestHost", title, WS_OVERLAPPEDWINDOW | WS_VISIBLE | WS_CLIPCHILDREN, x, y, area.right - area.left,
                         area.bottom - area.top, NULL, NULL, kind.hInstance, NULL);
}

uintptr_t window_open(uint32_t width, uint32_t height) {
    static int windows;
    return (uintptr_t)top_window(windows++ ? L"Test host 2" : L"Test host", 0, 0, (int)width, (int)height);
}

void window_resize(uintptr_t window, uint32_t width, uint32_t height) {
    RECT area = {0, 0, (LONG)width, (LONG)height};
    AdjustWindowRect(&area, WS_OVERLAPPEDWINDOW, FALSE);
    SetWindowPos((HWND)window, NULL, 0, 0, area.right - area.left, area.bottom - area.top, SWP_NOMOVE | SWP_NOZORDER);
}

void window_events(void) {
    MSG message; /* at most so many: a slow machine that draws all the time has always one more */
    for (int i = 0; i < 32 && PeekMessageW(&message, NULL, 0, 0, PM_REMOVE); ++i) {
        TranslateMessage(&message);
        DispatchMessageW(&message);
    }
}

void window_close(uintptr_t window) { DestroyWindow((HWND)window); }

bool window_send(uintptr_t window, int kind, int x, int y, uint32_t which) {
    static const UINT down[3] = {WM_LBUTTONDOWN, WM_MBUTTONDOWN, WM_RBUTTONDOWN};
    static const UINT up[3] = {WM_LBUTTONUP, WM_MBUTTONUP, WM_RBUTTONUP};
    const HWND editor = GetWindow((HWND)window, GW_CHILD);
    if (!editor) return false;
    const LPARAM at = MAKELPARAM(x, y);
    if (kind == EVENT_MOTION) return PostMessageW(editor, WM_MOUSEMOVE, 0, at);
    if (kind == EVENT_PRESS) return PostMessageW(editor, down[(which - 1) % 3], 0, at);
    if (kind == EVENT_RELEASE) return PostMessageW(editor, up[(which - 1) % 3], 0, at);
    if (kind == EVENT_WHEEL) return PostMessageW(editor, WM_MOUSEWHEEL, MAKEWPARAM(0, which > 1 ? 120 : -120), at);
    if (kind == EVENT_KEY) return PostMessageW(editor, which & 0x800 ? WM_KEYUP : WM_KEYDOWN, which & 0xFF, 1);
    if (kind == EVENT_CHARACTER) return PostMessageW(editor, WM_CHAR, 32 + which % 0x2000, 1);
    if (kind == EVENT_FOCUS) return PostMessageW(editor, which & 1 ? WM_SETFOCUS : WM_KILLFOCUS, 0, 0);
    return InvalidateRect(editor, NULL, FALSE);
}

/* --- the drop target: one for the whole program, never freed --- */

static HRESULT STDMETHODCALLTYPE query(IDropTarget* self, REFIID id, void** out) {
    *out = IsEqualIID(id, &IID_IUnknown) || IsEqualIID(id, &IID_IDropTarget) ? self : NULL;
    return *out ? S_OK : E_NOINTERFACE;
}
static ULONG STDMETHODCALLTYPE count(IDropTarget* self) { return (void)self, 1; }

static bool has_files(IDataObject* data, STGMEDIUM* files) {
    FORMATETC format = {CF_HDROP, NULL, DVASPECT_CONTENT, -1, TYMED_HGLOBAL};
    return SUCCEEDED(files ? IDataObject_GetData(data, &format, files) : IDataObject_QueryGetData(data, &format));
}
static HRESULT STDMETHODCALLTYPE enter(IDropTarget* self, IDataObject* data, DWORD keys, POINTL at, DWORD* effect) {
    (void)self, (void)keys, (void)at;
    if (!has_files(data, NULL)) *effect = DROPEFFECT_NONE;
    return S_OK;
}
static HRESULT STDMETHODCALLTYPE over(IDropTarget* self, DWORD keys, POINTL at, DWORD* effect) {
    return (void)self, (void)keys, (void)at, (void)effect, S_OK;
}
static HRESULT STDMETHODCALLTYPE leave(IDropTarget* self) { return (void)self, S_OK; }
static HRESULT STDMETHODCALLTYPE drop(IDropTarget* self, IDataObject* data, DWORD keys, POINTL at, DWORD* effect) {
    (void)self, (void)keys, (void)at;
    STGMEDIUM files;
    if (!has_files(data, &files)) return *effect = DROPEFFECT_NONE, S_OK;
    wchar_t path[MAX_PATH];
    char text[4 * MAX_PATH];
    for (UINT i = 0; DragQueryFileW(files.hGlobal, i, path, MAX_PATH); ++i) {
        WideCharToMultiByte(CP_UTF8, 0, path, -1, text, sizeof(text), NULL, NULL);
        printf("dropped %s\n", text);
    }
    ReleaseStgMedium(&files);
    *effect = DROPEFFECT_COPY;
    return S_OK;
}

bool drop_window_open(void) {
    static IDropTargetVtbl table = {query, count, count, enter, over, leave, drop};
    static IDropTarget target = {&table};
    drop_window = top_window(L"Drop here", 900, 200, 200, 200);
    return SUCCEEDED(RegisterDragDrop(drop_window, &target));
}
