/* Checksum of a journal record: CRC32C over three thirds at once, then over the three sums.
   Three lanes because the crc32 instruction has a latency of three cycles and a throughput of one. */
#ifndef SPIKE_CHECKSUM_H
#define SPIKE_CHECKSUM_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE4_2__)
#include <nmmintrin.h>
static inline uint64_t crc_word(uint64_t crc, uint64_t word) { return _mm_crc32_u64(crc, word); }
#else
static inline uint64_t crc_word(uint64_t crc, uint64_t word) {   /* bit by bit: correct everywhere, slow */
    for (int i = 0; i < 8; i++) {
        crc ^= (word >> (8 * i)) & 0xff;
        for (int k = 0; k < 8; k++) crc = (crc >> 1) ^ (0x82F63B78u & (0u - (uint32_t)(crc & 1)));
    }
    return crc;
}
#endif

static inline uint32_t checksum(const void *data, size_t n, uint64_t seed) {
    const uint8_t *p = (const uint8_t *)data;
    size_t words = n / 8, third = words / 3, i;
    uint64_t a = 0xffffffffu, b = 0xffffffffu, c = 0xffffffffu, wa, wb, wc, tail = 0;
    for (i = 0; i < third; i++) {
        memcpy(&wa, p + 8 * i, 8);
        memcpy(&wb, p + 8 * (third + i), 8);
        memcpy(&wc, p + 8 * (2 * third + i), 8);
        a = crc_word(a, wa); b = crc_word(b, wb); c = crc_word(c, wc);
    }
    for (i = 3 * third; i < words; i++) { memcpy(&wa, p + 8 * i, 8); a = crc_word(a, wa); }
    if (n & 7) memcpy(&tail, p + 8 * words, n & 7);
    a = crc_word(crc_word(crc_word(crc_word(seed & 0xffffffffu, seed >> 32), a), b), c);
    return (uint32_t)(crc_word(crc_word(a, tail), n) ^ 0xffffffffu);
}
#endif
