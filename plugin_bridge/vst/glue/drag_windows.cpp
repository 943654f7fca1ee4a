// Drag source for Windows (OLE): a list of files (CF_HDROP), which is what DAWs take.
#include "drag.hpp"

#include <objidl.h>
#include <ole2.h>
#include <shlobj.h>

#include <cstring>
#include <filesystem>

#include "paths.hpp"

namespace acestep {
namespace {

// Targets may keep the data longer than the drag lasts, so references are counted.
template <class Interface>
class Counted : public Interface {
public:
    explicit Counted(const IID& own) : own_(own) {}
    virtual ~Counted() = default;
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID id, void** out) override {
        if (id != IID_IUnknown && id != own_) return *out = nullptr, E_NOINTERFACE;
        *out = static_cast<Interface*>(this);
        AddRef();
        return S_OK;
    }
    ULONG STDMETHODCALLTYPE AddRef() override { return static_cast<ULONG>(InterlockedIncrement(&references_)); }
    ULONG STDMETHODCALLTYPE Release() override {
        const LONG left = InterlockedDecrement(&references_);
        if (left == 0) delete this;
        return static_cast<ULONG>(left);
    }

private:
    const IID& own_;
    LONG references_ = 1;
};

class FileDropSource : public Counted<IDropSource> {
public:
    FileDropSource() : Counted(IID_IDropSource) {}
    HRESULT STDMETHODCALLTYPE QueryContinueDrag(BOOL escape, DWORD keys) override {
        return escape ? DRAGDROP_S_CANCEL : (keys & MK_LBUTTON) ? S_OK : DRAGDROP_S_DROP;
    }
    HRESULT STDMETHODCALLTYPE GiveFeedback(DWORD) override { return DRAGDROP_S_USEDEFAULTCURSORS; }
};

class FileData : public Counted<IDataObject> {
public:
    explicit FileData(std::wstring names) : Counted(IID_IDataObject), names_(std::move(names)) {}

    HRESULT STDMETHODCALLTYPE QueryGetData(FORMATETC* wanted) override {
        return wanted->cfFormat == CF_HDROP && (wanted->tymed & TYMED_HGLOBAL) ? S_OK : DV_E_FORMATETC;
    }
    HRESULT STDMETHODCALLTYPE GetData(FORMATETC* wanted, STGMEDIUM* out) override {
        if (QueryGetData(wanted) != S_OK) return DV_E_FORMATETC;
        const std::size_t bytes = (names_.size() + 1) * sizeof(wchar_t);  // and the list's own zero
        const HGLOBAL memory = GlobalAlloc(GHND, sizeof(DROPFILES) + bytes);
        if (!memory) return E_OUTOFMEMORY;
        auto* files = static_cast<DROPFILES*>(GlobalLock(memory));
        files->pFiles = sizeof(DROPFILES);
        files->fWide = TRUE;
        std::memcpy(files + 1, names_.data(), names_.size() * sizeof(wchar_t));
        GlobalUnlock(memory);
        *out = {};
        out->tymed = TYMED_HGLOBAL;
        out->hGlobal = memory;
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE EnumFormatEtc(DWORD direction, IEnumFORMATETC** out) override {
        if (direction != DATADIR_GET) return E_NOTIMPL;
        const FORMATETC format{CF_HDROP, nullptr, DVASPECT_CONTENT, -1, TYMED_HGLOBAL};
        return SHCreateStdEnumFmtEtc(1, &format, out);
    }
    HRESULT STDMETHODCALLTYPE GetCanonicalFormatEtc(FORMATETC*, FORMATETC* out) override {
        return out->ptd = nullptr, DATA_S_SAMEFORMATETC;
    }
    HRESULT STDMETHODCALLTYPE GetDataHere(FORMATETC*, STGMEDIUM*) override { return E_NOTIMPL; }
    HRESULT STDMETHODCALLTYPE SetData(FORMATETC*, STGMEDIUM*, BOOL) override { return E_NOTIMPL; }
    HRESULT STDMETHODCALLTYPE DAdvise(FORMATETC*, DWORD, IAdviseSink*, DWORD*) override { return OLE_E_ADVISENOTSUPPORTED; }
    HRESULT STDMETHODCALLTYPE DUnadvise(DWORD) override { return OLE_E_ADVISENOTSUPPORTED; }
    HRESULT STDMETHODCALLTYPE EnumDAdvise(IEnumSTATDATA**) override { return OLE_E_ADVISENOTSUPPORTED; }

private:
    const std::wstring names_;  // each with a zero behind it
};

}  // namespace

struct DragSource::Impl {
    bool active = false;
};

DragSource::DragSource() : impl_(std::make_unique<Impl>()) { OleInitialize(nullptr); }
DragSource::~DragSource() { OleUninitialize(); }

bool DragSource::active() const { return impl_->active; }

// Returns when the files have been dropped: Windows runs the drag inside.
void DragSource::start(const std::vector<std::string>& paths, std::uintptr_t) {
    std::wstring names;
    for (const std::string& path : paths) names += std::filesystem::absolute(path_of(path)).make_preferred().wstring() + L'\0';
    auto* const data = new FileData(std::move(names));
    auto* const source = new FileDropSource;
    DWORD effect = 0;
    impl_->active = true;
    DoDragDrop(data, source, DROPEFFECT_COPY, &effect);
    impl_->active = false;
    data->Release();
    source->Release();
}

}  // namespace acestep
