"""ONNX Runtime through its C interface, from the library inside the `onnxruntime` wheel.

Its Python binding holds the interpreter for milliseconds while it reads a model, makes objects at each call and gives the
interpreter away in the middle of one. Here a model loads without the interpreter, and a call is one C function on two fixed
buffers.
"""
import importlib.util
import threading
from pathlib import Path

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cdef extern from "dlfcn.h" nogil:
    int RTLD_NOW, RTLD_LOCAL
    void *dlopen(const char *path, int flags)
    void *dlsym(void *library, const char *name)
    const char *dlerror()

# Places in OrtApi, a table of functions that only ever grows at its end (onnxruntime_c_api.h: "add new members at the end");
# version 8 of it has all of these, and every later library still hands it out.
cdef enum:
    VERSION = 8
    GetErrorMessage = 2
    CreateEnv = 3
    CreateSessionFromArray = 8
    CreateSessionOptions = 10
    DisableCpuMemArena = 19
    SetSessionLogSeverityLevel = 22
    SetSessionGraphOptimizationLevel = 23
    SetIntraOpNumThreads = 24
    SetInterOpNumThreads = 25
    SessionGetInputCount = 30
    SessionGetOutputCount = 31
    SessionGetInputName = 36
    SessionGetOutputName = 37
    CreateRunOptions = 39
    CreateTensorWithDataAsOrtValue = 49
    CreateCpuMemoryInfo = 69
    AllocatorFree = 76
    GetAllocatorWithDefaultOptions = 78
    ReleaseStatus = 93
    ReleaseMemoryInfo = 94
    ReleaseSession = 95
    ReleaseValue = 96
    ReleaseRunOptions = 97
    ReleaseSessionOptions = 100
    SessionGetModelMetadata = 111
    ModelMetadataLookupCustomMetadataMap = 116
    ReleaseModelMetadata = 118
    ModelMetadataGetCustomMetadataMapKeys = 123
    RunWithBinding = 133
    CreateIoBinding = 134
    ReleaseIoBinding = 135
    BindInput = 136
    BindOutput = 137
    # their enumerations
    LOG_ERROR = 3
    OPTIMISE_NOTHING = 0
    ARENA = 1
    MEMORY_DEFAULT = 0
    FLOAT = 1

ctypedef const void *(*GetApi)(uint32_t) noexcept nogil
ctypedef const void *(*GetApiBase)() noexcept nogil
ctypedef const char *(*ErrorOf)(void *) noexcept nogil
ctypedef void (*Release)(void *) noexcept nogil
# functions of one to seven arguments; each answers with an error's status, or with nothing
ctypedef void *(*Call1)(void **) noexcept nogil
ctypedef void *(*Call2)(void *, void *) noexcept nogil
ctypedef void *(*CallInt)(void *, int) noexcept nogil
ctypedef void *(*Call3)(void *, void *, void *) noexcept nogil
ctypedef void *(*Call4)(void *, void *, void *, void *) noexcept nogil
ctypedef void *(*CallEnv)(int, const char *, void **) noexcept nogil
ctypedef void *(*CallMemory)(int, int, void **) noexcept nogil
ctypedef void *(*CallCount)(void *, size_t *) noexcept nogil
ctypedef void *(*CallName)(void *, size_t, void *, char **) noexcept nogil
ctypedef void *(*CallCreate)(void *, const void *, size_t, void *, void **) noexcept nogil
ctypedef void *(*CallTensor)(void *, void *, size_t, const int64_t *, size_t, int, void **) noexcept nogil

cdef void **api = NULL
cdef void *environment = NULL
opening = threading.Lock()


class RuntimeFailed(Exception):
    """What ONNX Runtime says of a model it does not take."""


def library() -> Path:
    """The shared library of the installed wheel. Raises ImportError."""
    spec = importlib.util.find_spec("onnxruntime")
    for folder in spec.submodule_search_locations or () if spec else ():
        for path in sorted(Path(folder, "capi").glob("libonnxruntime.*")):
            return path
    raise ImportError("ONNX Runtime's library is not installed: `pip install 'onnxruntime>=1.20'`")


cdef int open_library() except -1:
    """Finds the table of functions, once a process."""
    global api, environment
    cdef void *handle
    cdef void *status
    cdef GetApiBase base
    cdef const char *start
    with opening:
        if environment is not NULL:
            return 0
        path = library()
        name = str(path).encode()
        start = name
        with nogil:
            handle = dlopen(start, RTLD_NOW | RTLD_LOCAL)
        if handle is NULL:
            raise ImportError(f"{path.name} cannot be opened: {dlerror().decode()}")
        base = <GetApiBase> dlsym(handle, b"OrtGetApiBase")
        if base is NULL:
            raise ImportError(f"{path.name} is not ONNX Runtime: install `onnxruntime` anew")
        api = <void **> (<GetApi> (<void **> base())[0])(VERSION)
        if api is NULL:
            raise ImportError(f"{path.name} does not speak version {VERSION} of its interface: install onnxruntime 1.20 or later")
        with nogil:
            status = (<CallEnv> api[CreateEnv])(LOG_ERROR, b"engine", &environment)
        check(status)
    return 0


cdef int check(void *status) except -1:
    """Raises RuntimeFailed with the library's words, and frees them."""
    if status is NULL:
        return 0
    message = (<ErrorOf> api[GetErrorMessage])(status).decode("utf-8", "replace")
    (<Release> api[ReleaseStatus])(status)
    raise RuntimeFailed(message)


cdef str taken(void *allocator, char *text):
    """A string the library allocated, as ours."""
    words = text.decode("utf-8", "replace")
    check((<Call2> api[AllocatorFree])(allocator, text))
    return words


cdef class Session:
    """One loaded model: `bind` its `columns` inputs once, then write `row`, `run`, read `answer`.

    Loading holds no lock of the interpreter. Raises RuntimeFailed for what is not a model, ImportError without the library.
    """

    def __cinit__(self, bytes data):
        cdef const char *start = data
        cdef size_t length = len(data)
        cdef void *status
        open_library()
        check((<Call1> api[CreateSessionOptions])(&self.options))
        check((<CallInt> api[SetIntraOpNumThreads])(self.options, 1))
        check((<CallInt> api[SetInterOpNumThreads])(self.options, 1))
        check((<CallInt> api[SetSessionLogSeverityLevel])(self.options, LOG_ERROR))
        # its pool of memory takes a lock for arrays of a few hundred bytes: p99 of the four members is 25 us without, 31-46 with
        check((<Call1> api[DisableCpuMemArena])(<void **> self.options))
        # our graphs leave nothing to optimise, and every machine then computes in the same order
        check((<CallInt> api[SetSessionGraphOptimizationLevel])(self.options, OPTIMISE_NOTHING))
        with nogil:
            status = (<CallCreate> api[CreateSessionFromArray])(environment, start, length, self.options, &self.session)
        check(status)
        self.meta = self.metadata()

    def __dealloc__(self):
        cdef void *made[7]
        cdef int slot[7]
        made[:] = [self.binding, self.value_in, self.value_out, self.run_options, self.memory, self.session, self.options]
        slot[:] = [ReleaseIoBinding, ReleaseValue, ReleaseValue, ReleaseRunOptions, ReleaseMemoryInfo, ReleaseSession,
                   ReleaseSessionOptions]
        for k in range(7):
            if made[k] is not NULL:
                (<Release> api[slot[k]])(made[k])
        free(self.row)

    cdef dict metadata(self):
        """What was written beside the graph: str -> str."""
        cdef void *allocator = NULL
        cdef void *description = NULL
        cdef char **keys = NULL
        cdef char *value = NULL
        cdef int64_t count = 0, k
        check((<Call1> api[GetAllocatorWithDefaultOptions])(&allocator))
        check((<Call2> api[SessionGetModelMetadata])(self.session, &description))
        found = {}
        try:
            check((<Call4> api[ModelMetadataGetCustomMetadataMapKeys])(description, allocator, &keys, &count))
            for k in range(count):
                check((<Call4> api[ModelMetadataLookupCustomMetadataMap])(description, allocator, keys[k], &value))
                found[taken(allocator, keys[k])] = taken(allocator, value)
            if keys is not NULL:
                check((<Call2> api[AllocatorFree])(allocator, keys))
        finally:
            (<Release> api[ReleaseModelMetadata])(description)
        return found

    cdef int bind(self, int columns) except -1:
        """Fixes the buffers: float32[1, columns] in, float32[1, 2] as the last output."""
        cdef void *allocator = NULL
        cdef char *name = NULL
        cdef size_t inputs = 0, outputs = 0
        cdef int64_t[2] shape_in
        cdef int64_t[2] shape_out
        shape_in[:] = [1, columns]
        shape_out[:] = [1, 2]
        self.columns = columns
        self.row = <float *> calloc(columns, sizeof(float))
        if self.row is NULL:
            raise MemoryError
        check((<CallCount> api[SessionGetInputCount])(self.session, &inputs))
        check((<CallCount> api[SessionGetOutputCount])(self.session, &outputs))
        if inputs != 1 or outputs < 1:
            raise RuntimeFailed(f"{inputs} inputs and {outputs} outputs: one input is to be given")
        check((<CallMemory> api[CreateCpuMemoryInfo])(ARENA, MEMORY_DEFAULT, &self.memory))
        check((<CallTensor> api[CreateTensorWithDataAsOrtValue])(self.memory, self.row, columns * sizeof(float), shape_in, 2, FLOAT,
                                                                 &self.value_in))
        check((<CallTensor> api[CreateTensorWithDataAsOrtValue])(self.memory, self.answer, sizeof(self.answer), shape_out, 2, FLOAT,
                                                                 &self.value_out))
        check((<Call1> api[CreateRunOptions])(&self.run_options))
        check((<Call2> api[CreateIoBinding])(self.session, &self.binding))
        check((<Call1> api[GetAllocatorWithDefaultOptions])(&allocator))
        check((<CallName> api[SessionGetInputName])(self.session, 0, allocator, &name))
        named = taken(allocator, name).encode()
        check((<Call3> api[BindInput])(self.binding, <char *> named, self.value_in))
        check((<CallName> api[SessionGetOutputName])(self.session, outputs - 1, allocator, &name))
        named = taken(allocator, name).encode()
        check((<Call3> api[BindOutput])(self.binding, <char *> named, self.value_out))
        return 0

    cdef int run(self) except -1:
        """Fills `answer` from `row`. The interpreter is not given away: a score is asked for in the middle of a tick."""
        cdef void *status = (<Call3> api[RunWithBinding])(self.session, self.run_options, self.binding)
        if status is not NULL:
            check(status)
        return 0

    cdef int try_rows(self, float[:, ::1] rows, float[::1] answers, double[::1] seconds) except -1:
        """Asks for `rows` one after another without the interpreter: what the model says (its second number), and how long
        each took."""
        cdef timespec began, ended
        cdef void *status = NULL
        cdef Py_ssize_t k
        with nogil:
            for k in range(rows.shape[0]):
                memcpy(self.row, &rows[k, 0], self.columns * sizeof(float))
                clock_gettime(CLOCK_MONOTONIC, &began)
                status = (<Call3> api[RunWithBinding])(self.session, self.run_options, self.binding)
                clock_gettime(CLOCK_MONOTONIC, &ended)
                if status is not NULL:
                    break
                answers[k] = self.answer[1]
                seconds[k] = (ended.tv_sec - began.tv_sec) + 1e-9 * (ended.tv_nsec - began.tv_nsec)
        check(status)
        return 0
