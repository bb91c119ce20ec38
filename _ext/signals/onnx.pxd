cdef class Session:
    cdef void *session
    cdef void *options
    cdef void *memory
    cdef void *binding
    cdef void *run_options
    cdef void *value_in
    cdef void *value_out
    cdef float *row                      # [columns]: written before a run
    cdef float answer[2]                 # written by a run
    cdef readonly int columns
    cdef readonly dict meta              # the model's own: str -> str
    cdef dict metadata(self)
    cdef int bind(self, int columns) except -1
    cdef int run(self) except -1
    cdef int try_rows(self, float[:, ::1] rows, float[::1] answers, double[::1] seconds) except -1
