/* In the plugin's table of imports, in front of what it takes from Windows: memory, waiting, files, the network. A lock
   that nobody holds is taken without Windows and not noticed; one that has to wait is. */
#include <windows.h>

#include <stdlib.h>
#include <string.h>

#include "host.h"

enum { MAX_CALLS = 32 };

static volatile DWORD wire;  /* the thread that is watched, 0: none. Thread-local variables would take memory here. */
static char* watched;        /* where the plugin lies */
static const char* expected; /* the test's: noted instead of ending the host */

static void trip(const char* call) {
    if (wire != GetCurrentThreadId()) return;
    wire = 0;
    if (expected) {
        expected = call;
        return;
    }
    void* stack[16];
    fprintf(stderr, "the audio thread called %s, from", call);
    for (int i = 0, depth = CaptureStackBackTrace(1, 16, stack, NULL); i < depth; ++i)
        fprintf(stderr, " +%llx", (unsigned long long)((char*)stack[i] - watched)); /* in the plugin's file */
    fputc('\n', stderr);
    abort();
}

/* One stub for each call: it says its name and goes on to the real one with whatever it was given. `call` keeps the four
   registers that arguments come in. */
static const char* const names[MAX_CALLS] = {
    "malloc",
    "calloc",
    "realloc",
    "free",
    "HeapAlloc",
    "HeapFree",
    "VirtualAlloc",
    "WaitForSingleObject",
    "WaitForMultipleObjects",
    "EnterCriticalSection",
    "Sleep",
    "SetEvent",
    "ReleaseSemaphore",
    "CreateFileW",
    "ReadFile",
    "WriteFile",
    "fwrite",
    "fread",
    "fputc",
    "vfprintf",
    "fflush",
    "sendto",
    "recvfrom",
    "select",
    "fopen",
    "_write",
    "_read",
    "CreateEventA",
    "CreateSemaphoreA",
    "SwitchToThread",
};
static void* real[MAX_CALLS];
static unsigned char* stubs;

static void tripped(int index) { trip(names[index]); }

static void write_stub(int index) {
    unsigned char* at = stubs + 128 * index;
    const unsigned char keep[] = {0x51, 0x52, 0x41, 0x50, 0x41, 0x51, 0x48, 0x83, 0xEC, 0x28, 0xB9}; /* push … sub rsp, mov ecx */
    const unsigned char go[] = {0x48, 0xB8}; /* mov rax */
    const unsigned char back[] = {0xFF, 0xD0, 0x48, 0x83, 0xC4, 0x28, 0x41, 0x59, 0x41, 0x58, 0x5A, 0x59, 0x48, 0xB8};
    const unsigned char jump[] = {0xFF, 0xE0};
    void (*says)(int) = tripped;
#define PUT(data, size) memcpy(at, data, size), at += (size)
    PUT(keep, sizeof(keep));
    PUT(&index, 4);
    PUT(go, 2);
    PUT(&says, 8);
    PUT(back, sizeof(back));
    PUT(&real[index], 8);
    PUT(jump, 2);
#undef PUT
}

static void replace(IMAGE_THUNK_DATA* slot, const char* name) {
    for (int i = 0; i < MAX_CALLS && names[i]; ++i) {
        if (strcmp(name, names[i])) continue;
        DWORD before;
        real[i] = (void*)slot->u1.Function;
        write_stub(i);
        VirtualProtect(slot, sizeof(*slot), PAGE_READWRITE, &before);
        slot->u1.Function = (ULONGLONG)(stubs + 128 * i);
        VirtualProtect(slot, sizeof(*slot), before, &before);
    }
}

static void replace_all(char* module) {
    const IMAGE_NT_HEADERS* head = (IMAGE_NT_HEADERS*)(module + ((IMAGE_DOS_HEADER*)module)->e_lfanew);
    const DWORD at = head->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT].VirtualAddress;
    for (IMAGE_IMPORT_DESCRIPTOR* from = (IMAGE_IMPORT_DESCRIPTOR*)(module + at); from->Name; ++from) {
        IMAGE_THUNK_DATA* name = (IMAGE_THUNK_DATA*)(module + from->OriginalFirstThunk);
        IMAGE_THUNK_DATA* slot = (IMAGE_THUNK_DATA*)(module + from->FirstThunk);
        for (; name->u1.AddressOfData; ++name, ++slot) {
            if (name->u1.Ordinal & IMAGE_ORDINAL_FLAG64) continue;
            replace(slot, ((IMAGE_IMPORT_BY_NAME*)(module + name->u1.AddressOfData))->Name);
        }
    }
}

bool tripwire_arm(void* library) {
    if (stubs) return true;
    stubs = VirtualAlloc(NULL, 128 * MAX_CALLS, MEM_COMMIT | MEM_RESERVE, PAGE_EXECUTE_READWRITE);
    replace_all(watched = library);
    replace_all((char*)GetModuleHandleW(NULL)); /* for the test */
    return true;
}
void tripwire_begin(void) { wire = stubs ? GetCurrentThreadId() : 0; }
void tripwire_end(void) { wire = 0; }

static bool notices(void (*sin)(void)) {
    expected = "";
    tripwire_begin();
    sin();
    tripwire_end();
    const bool noticed = *expected;
    expected = NULL;
    return noticed;
}
static void allocate(void) {
    void* volatile block = malloc(100);
    free(block);
}
static void wait(void) { Sleep(0); }
static void use_a_file(void) {
    DWORD done;
    WriteFile(INVALID_HANDLE_VALUE, "", 0, &done, NULL);
}

const char* tripwire_test(void) {
    return !notices(allocate) ? "memory" : !notices(wait) ? "waiting" : !notices(use_a_file) ? "a file" : NULL;
}
