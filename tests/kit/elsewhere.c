// Preloaded into a process under test: every *.upstox.com name is 127.0.0.1 at ELSEWHERE_PORT, and the wall's clock is ELSEWHERE_NS
// ahead of this machine's.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

static long long ahead(void)
{
    static long long ns;
    static int known;
    if (!known) {
        const char* text = getenv("ELSEWHERE_NS");
        ns = text ? atoll(text) : 0;
        known = 1;
    }
    return ns;
}

int clock_gettime(clockid_t id, struct timespec* t)
{
    static int (*real)(clockid_t, struct timespec*);
    if (!real)
        real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, t);
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        long long now = (long long)t->tv_sec * 1000000000LL + t->tv_nsec + ahead();
        t->tv_sec = now / 1000000000LL;
        t->tv_nsec = now % 1000000000LL;
    }
    return result;
}

time_t time(time_t* out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}

int gettimeofday(struct timeval* out, void* zone)
{
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    out->tv_sec = t.tv_sec;
    out->tv_usec = t.tv_nsec / 1000;
    return 0;
}

int getaddrinfo(const char* node, const char* service, const struct addrinfo* hints, struct addrinfo** found)
{
    static int (*real)(const char*, const char*, const struct addrinfo*, struct addrinfo**);
    static const char name[] = ".upstox.com";
    if (!real)
        real = dlsym(RTLD_NEXT, "getaddrinfo");
    size_t n = node ? strlen(node) : 0, k = sizeof(name) - 1;
    if (n > k && strcmp(node + n - k, name) == 0)
        return real("127.0.0.1", getenv("ELSEWHERE_PORT"), hints, found);
    return real(node, service, hints, found);
}
