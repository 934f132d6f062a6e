// Two-level search for the largest inner products: 4-bit codes of reduced vectors are scanned list by list, and the
// best are scored again from the vectors in full; leanseek/indexing/dense/lean/scanning.py describes the arrays.
//
// Product-quantised codes are looked up 32 at a time in tables that fit a register (André, Kermarrec and Le Scouarnec,
// "Cache locality is not enough", VLDB 2015). Table entries have 6 bits, so that four of them add up in a byte and
// widening is rare. A vector's code is that of its residual: for inner products the list's centroid only adds a
// constant. Every sum is made in one order, so an answer does not depend on which queries are asked together.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#define X86 1
#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx2,fma,f16c")))
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define X86 0
#define PREFETCH(address)
#endif

namespace py = pybind11;

// Wider vectors where the processor has them; the same operations on each element, hence the same bits.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDE
#endif

namespace {

constexpr int kBlock = 32;        // vectors whose codes stand together
constexpr int kPanel = 32;        // columns of a matrix that stand together
constexpr int kTogether = 4;      // queries multiplied at a time
constexpr int kGroup = 16;        // queries that go through the steps together
constexpr int kChunk = 32;        // blocks scanned against one threshold
constexpr int kTables = 512;       // at most
constexpr int kRanks = 1024;       // steps in which lists are ordered
constexpr int kTableMax = 63;     // four entries fit a byte
constexpr int kAhead = 8;         // rows fetched ahead of the one being scored
constexpr int64_t kBias = int64_t(1) << 31;  // makes sums positive
constexpr float kFar = 1 << 30;
constexpr int64_t kStep = 4;      // units of a table
constexpr int64_t kSteps = 2048;

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

// A vector that passed a scan's threshold: its place in the chunk and its sum of table entries.
struct Passed {
    uint16_t place, sum;
};

inline float half(uint16_t bits) {
    const uint32_t sign = uint32_t(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
    float value;
    if (exponent == 31) {
        const uint32_t all = sign | 0x7f800000u | fraction << 13;
        std::memcpy(&value, &all, sizeof value);
        return value;
    }
    value = exponent ? std::ldexp(float(1024 + fraction), int(exponent) - 25) : std::ldexp(float(fraction), -24);
    return sign ? -value : value;
}

// What differs between processors.
struct Kernels {
    const char* name;
    // out[q][panel * 32 + j] = sum over i of rows[q][i] * panels[panel][i][j], for one or kTogether queries.
    void (*one)(const float* row, const float* panels, int64_t count, int64_t length, float* out);
    void (*several)(const float* rows, int64_t stride, const float* panels, int64_t count, int64_t length,
                    float* out, int64_t out_stride);
    // Tables as `scan` wants them, each 16 bytes: as they come, or in `copies`.
    int copies;
    // Appends the vectors of `blocks` blocks whose sum exceeds `threshold`; returns their number.
    int (*scan)(const uint8_t* codes, int blocks, int pairs, const uint8_t* tables, int threshold, Passed* out);
    float (*dot_float)(const float* query, const float* row, int64_t length);
    float (*dot_half)(const float* query, const uint16_t* row, int64_t length);
    float (*dot_byte)(const float* query, const uint8_t* row, int64_t length);
    // Two elements in a byte: the lower half of byte i is element i, the upper half element length / 2 + i.
    float (*dot_nibble)(const float* query, const uint8_t* row, int64_t length);
};

namespace plain {

void one(const float* row, const float* panels, int64_t count, int64_t length, float* out) {
    for (int64_t p = 0; p < count; ++p, panels += length * kPanel, out += kPanel) {
        float sums[kPanel] = {};
        for (int64_t i = 0; i < length; ++i)
            for (int j = 0; j < kPanel; ++j) sums[j] += row[i] * panels[i * kPanel + j];
        std::memcpy(out, sums, sizeof sums);
    }
}

void several(const float* rows, int64_t stride, const float* panels, int64_t count, int64_t length, float* out,
             int64_t out_stride) {
    for (int q = 0; q < kTogether; ++q) one(rows + q * stride, panels, count, length, out + q * out_stride);
}

int scan(const uint8_t* codes, int blocks, int pairs, const uint8_t* tables, int threshold, Passed* out) {
    int found = 0;
    for (int b = 0; b < blocks; ++b) {
        int sums[kBlock] = {};
        for (int p = 0; p < pairs; ++p, codes += kBlock)
            for (int i = 0; i < kBlock; ++i)
                sums[i] += tables[p * 32 + (codes[i] & 15)] + tables[p * 32 + 16 + (codes[i] >> 4)];
        for (int i = 0; i < kBlock; ++i)
            if (sums[i] > threshold) out[found++] = {uint16_t(b * kBlock + i), uint16_t(sums[i])};
    }
    return found;
}

template <typename T, typename Convert>
float dot(const float* query, const T* row, int64_t length, Convert convert) {
    float sums[8] = {};
    int64_t i = 0;
    for (; i + 8 <= length; i += 8)
        for (int j = 0; j < 8; ++j) sums[j] += query[i + j] * convert(row[i + j]);
    for (int j = 0; i < length; ++i, ++j) sums[j] += query[i] * convert(row[i]);
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

float dot_float(const float* query, const float* row, int64_t length) {
    return dot(query, row, length, [](float value) { return value; });
}

float dot_half(const float* query, const uint16_t* row, int64_t length) { return dot(query, row, length, half); }

float dot_byte(const float* query, const uint8_t* row, int64_t length) {
    return dot(query, row, length, [](uint8_t value) { return float(value); });
}

float dot_nibble(const float* query, const uint8_t* row, int64_t length) {
    return dot(query, row, length / 2, [](uint8_t value) { return float(value & 15); }) +
           dot(query + length / 2, row, length / 2, [](uint8_t value) { return float(value >> 4); });
}

const Kernels kernels = {"plain", one, several, 1, scan, dot_float, dot_half, dot_byte, dot_nibble};

}  // namespace plain

#if X86

namespace avx2 {

template <int Q>
AVX2 inline void multiply(const float* rows, int64_t stride, const float* panel, int64_t length, float* out,
                          int64_t out_stride) {
    for (int half_panel = 0; half_panel < 2; ++half_panel, panel += 16, out += 16) {
        __m256 sums[Q][2];
        for (int q = 0; q < Q; ++q) sums[q][0] = sums[q][1] = _mm256_setzero_ps();
        for (int64_t i = 0; i < length; ++i) {
            const __m256 left = _mm256_loadu_ps(panel + i * kPanel);
            const __m256 right = _mm256_loadu_ps(panel + i * kPanel + 8);
            for (int q = 0; q < Q; ++q) {
                const __m256 value = _mm256_broadcast_ss(rows + q * stride + i);
                sums[q][0] = _mm256_fmadd_ps(value, left, sums[q][0]);
                sums[q][1] = _mm256_fmadd_ps(value, right, sums[q][1]);
            }
        }
        for (int q = 0; q < Q; ++q) {
            _mm256_storeu_ps(out + q * out_stride, sums[q][0]);
            _mm256_storeu_ps(out + q * out_stride + 8, sums[q][1]);
        }
    }
}

AVX2 void one(const float* row, const float* panels, int64_t count, int64_t length, float* out) {
    for (int64_t p = 0; p < count; ++p)
        multiply<1>(row, 0, panels + p * length * kPanel, length, out + p * kPanel, 0);
}

AVX2 void several(const float* rows, int64_t stride, const float* panels, int64_t count, int64_t length, float* out,
                  int64_t out_stride) {
    for (int64_t p = 0; p < count; ++p)
        multiply<kTogether>(rows, stride, panels + p * length * kPanel, length, out + p * kPanel, out_stride);
}

// Writes those of a block's sums that exceed the threshold: `even` and `odd` hold the sums of every other vector.
AVX2 inline int collect(__m256i even, __m256i odd, __m256i limit, int first, Passed* out) {
    const __m256i over = _mm256_blendv_epi8(_mm256_cmpgt_epi16(even, limit), _mm256_cmpgt_epi16(odd, limit),
                                            _mm256_set1_epi16(int16_t(0xff00)));
    uint32_t mask = uint32_t(_mm256_movemask_epi8(over));
    if (mask == 0) return 0;
    alignas(32) uint16_t sums[2][16];
    _mm256_store_si256(reinterpret_cast<__m256i*>(sums[0]), even);
    _mm256_store_si256(reinterpret_cast<__m256i*>(sums[1]), odd);
    int found = 0;
    for (; mask != 0; mask &= mask - 1) {
        const int i = __builtin_ctz(mask);
        out[found++] = {uint16_t(first + i), sums[i & 1][i >> 1]};
    }
    return found;
}

AVX2 int scan(const uint8_t* codes, int blocks, int pairs, const uint8_t* tables, int threshold, Passed* out) {
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i limit = _mm256_set1_epi16(int16_t(threshold));
    int found = 0;
    for (int b = 0; b < blocks; ++b) {
        __m256i all = _mm256_setzero_si256(), odd = _mm256_setzero_si256();
        const uint8_t* table = tables;
        for (int p = 0; p < pairs; p += 2, codes += 2 * kBlock, table += 64) {
            const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes));
            const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + kBlock));
            __m256i entries[4];
            for (int t = 0; t < 4; ++t)
                entries[t] =
                    _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table + 16 * t)));
            const __m256i sum = _mm256_add_epi8(
                _mm256_add_epi8(
                    _mm256_shuffle_epi8(entries[0], _mm256_and_si256(first, low)),
                    _mm256_shuffle_epi8(entries[1], _mm256_and_si256(_mm256_srli_epi16(first, 4), low))),
                _mm256_add_epi8(
                    _mm256_shuffle_epi8(entries[2], _mm256_and_si256(second, low)),
                    _mm256_shuffle_epi8(entries[3], _mm256_and_si256(_mm256_srli_epi16(second, 4), low))));
            all = _mm256_add_epi16(all, sum);
            odd = _mm256_add_epi16(odd, _mm256_srli_epi16(sum, 8));
        }
        const __m256i even = _mm256_sub_epi16(all, _mm256_slli_epi16(odd, 8));
        found += collect(even, odd, limit, b * kBlock, out + found);
    }
    return found;
}

template <typename Load>
AVX2 inline float dot(const float* query, int64_t length, Load load) {
    __m256 sums[4];
    for (auto& sum : sums) sum = _mm256_setzero_ps();
    int64_t i = 0;
    for (; i + 32 <= length; i += 32)
        for (int j = 0; j < 4; ++j)
            sums[j] = _mm256_fmadd_ps(_mm256_loadu_ps(query + i + 8 * j), load(i + 8 * j), sums[j]);
    for (; i < length; i += 8) sums[0] = _mm256_fmadd_ps(_mm256_loadu_ps(query + i), load(i), sums[0]);
    const __m256 sum = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

AVX2 float dot_float(const float* query, const float* row, int64_t length) {
    if (length % 8) return plain::dot_float(query, row, length);
    return dot(query, length, [row](int64_t i) AVX2 { return _mm256_loadu_ps(row + i); });
}

AVX2 float dot_half(const float* query, const uint16_t* row, int64_t length) {
    if (length % 8) return plain::dot_half(query, row, length);
    return dot(query, length, [row](int64_t i) AVX2 {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + i)));
    });
}

AVX2 float dot_byte(const float* query, const uint8_t* row, int64_t length) {
    if (length % 8) return plain::dot_byte(query, row, length);
    return dot(query, length, [row](int64_t i) AVX2 {
        return _mm256_cvtepi32_ps(
            _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + i))));
    });
}

AVX2 float dot_nibble(const float* query, const uint8_t* row, int64_t length) {
    const int64_t half_length = length / 2;
    if (length % 16) return plain::dot_nibble(query, row, length);
    const auto load = [row](int64_t i) AVX2 {
        return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + i)));
    };
    return dot(query, half_length, [load](int64_t i) AVX2 {
               return _mm256_cvtepi32_ps(_mm256_and_si256(load(i), _mm256_set1_epi32(15)));
           }) +
           dot(query + half_length, half_length,
               [load](int64_t i) AVX2 { return _mm256_cvtepi32_ps(_mm256_srli_epi32(load(i), 4)); });
}

const Kernels kernels = {"avx2", one, several, 1, scan, dot_float, dot_half, dot_byte, dot_nibble};

}  // namespace avx2

namespace avx512 {

template <int Q, int P>
AVX512 inline void multiply(const float* rows, int64_t stride, const float* panels, int64_t length, float* out,
                            int64_t out_stride) {
    __m512 sums[Q][2 * P];
    for (int q = 0; q < Q; ++q)
        for (int c = 0; c < 2 * P; ++c) sums[q][c] = _mm512_setzero_ps();
    for (int64_t i = 0; i < length; ++i) {
        __m512 columns[2 * P];
        for (int c = 0; c < 2 * P; ++c)
            columns[c] = _mm512_loadu_ps(panels + (c / 2 * length + i) * kPanel + c % 2 * 16);
        for (int q = 0; q < Q; ++q) {
            const __m512 value = _mm512_set1_ps(rows[q * stride + i]);
            for (int c = 0; c < 2 * P; ++c) sums[q][c] = _mm512_fmadd_ps(value, columns[c], sums[q][c]);
        }
    }
    for (int q = 0; q < Q; ++q)
        for (int c = 0; c < 2 * P; ++c) _mm512_storeu_ps(out + q * out_stride + c * 16, sums[q][c]);
}

AVX512 void one(const float* row, const float* panels, int64_t count, int64_t length, float* out) {
    int64_t p = 0;
    for (; p + 4 <= count; p += 4)
        multiply<1, 4>(row, 0, panels + p * length * kPanel, length, out + p * kPanel, 0);
    for (; p < count; ++p) multiply<1, 1>(row, 0, panels + p * length * kPanel, length, out + p * kPanel, 0);
}

AVX512 void several(const float* rows, int64_t stride, const float* panels, int64_t count, int64_t length,
                    float* out, int64_t out_stride) {
    int64_t p = 0;
    for (; p + 2 <= count; p += 2)
        multiply<kTogether, 2>(rows, stride, panels + p * length * kPanel, length, out + p * kPanel, out_stride);
    for (; p < count; ++p)
        multiply<kTogether, 1>(rows, stride, panels + p * length * kPanel, length, out + p * kPanel, out_stride);
}

// Two pairs of codes at a time: the tables of one in the lower, of the other in the upper half of a register.
AVX512 int scan(const uint8_t* codes, int blocks, int pairs, const uint8_t* tables, int threshold, Passed* out) {
    const __m512i low = _mm512_set1_epi8(15);
    const __m256i limit = _mm256_set1_epi16(int16_t(threshold));
    const int steps = pairs / 2;
    const auto entries = [tables](int i) AVX512 { return _mm512_load_si512(tables + 64 * i); };
    int found = 0;
    for (int b = 0; b < blocks; ++b) {
        __m512i all = _mm512_setzero_si512(), odd = _mm512_setzero_si512();
        int s = 0;
        for (; s + 2 <= steps; s += 2, codes += 4 * kBlock) {
            const __m512i first = _mm512_loadu_si512(codes), second = _mm512_loadu_si512(codes + 2 * kBlock);
            const __m512i sum = _mm512_add_epi8(
                _mm512_add_epi8(
                    _mm512_shuffle_epi8(entries(2 * s), _mm512_and_si512(first, low)),
                    _mm512_shuffle_epi8(entries(2 * s + 1), _mm512_and_si512(_mm512_srli_epi16(first, 4), low))),
                _mm512_add_epi8(
                    _mm512_shuffle_epi8(entries(2 * s + 2), _mm512_and_si512(second, low)),
                    _mm512_shuffle_epi8(entries(2 * s + 3), _mm512_and_si512(_mm512_srli_epi16(second, 4), low))));
            all = _mm512_add_epi16(all, sum);
            odd = _mm512_add_epi16(odd, _mm512_srli_epi16(sum, 8));
        }
        if (s < steps) {
            const __m512i last = _mm512_loadu_si512(codes);
            codes += 2 * kBlock;
            const __m512i sum = _mm512_add_epi8(
                _mm512_shuffle_epi8(entries(2 * s), _mm512_and_si512(last, low)),
                _mm512_shuffle_epi8(entries(2 * s + 1), _mm512_and_si512(_mm512_srli_epi16(last, 4), low)));
            all = _mm512_add_epi16(all, sum);
            odd = _mm512_add_epi16(odd, _mm512_srli_epi16(sum, 8));
        }
        const __m512i even = _mm512_sub_epi16(all, _mm512_slli_epi16(odd, 8));
        found += avx2::collect(
            _mm256_add_epi16(_mm512_castsi512_si256(even), _mm512_extracti64x4_epi64(even, 1)),
            _mm256_add_epi16(_mm512_castsi512_si256(odd), _mm512_extracti64x4_epi64(odd, 1)), limit, b * kBlock,
            out + found);
    }
    return found;
}

template <typename Load>
AVX512 inline float dot(const float* query, int64_t length, Load load) {
    __m512 sums[4];
    for (auto& sum : sums) sum = _mm512_setzero_ps();
    int64_t i = 0;
    for (; i + 64 <= length; i += 64)
        for (int j = 0; j < 4; ++j)
            sums[j] = _mm512_fmadd_ps(_mm512_loadu_ps(query + i + 16 * j), load(i + 16 * j), sums[j]);
    for (; i < length; i += 16) sums[0] = _mm512_fmadd_ps(_mm512_loadu_ps(query + i), load(i), sums[0]);
    return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
}

AVX512 float dot_float(const float* query, const float* row, int64_t length) {
    if (length % 16) return avx2::dot_float(query, row, length);
    return dot(query, length, [row](int64_t i) AVX512 { return _mm512_loadu_ps(row + i); });
}

AVX512 float dot_half(const float* query, const uint16_t* row, int64_t length) {
    if (length % 16) return avx2::dot_half(query, row, length);
    return dot(query, length, [row](int64_t i) AVX512 {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + i)));
    });
}

AVX512 float dot_byte(const float* query, const uint8_t* row, int64_t length) {
    if (length % 16) return avx2::dot_byte(query, row, length);
    return dot(query, length, [row](int64_t i) AVX512 {
        return _mm512_cvtepi32_ps(
            _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + i))));
    });
}

AVX512 float dot_nibble(const float* query, const uint8_t* row, int64_t length) {
    if (length % 32) return avx2::dot_nibble(query, row, length);
    const int64_t half_length = length / 2;
    __m512 low = _mm512_setzero_ps(), high = _mm512_setzero_ps();
    for (int64_t i = 0; i < half_length; i += 16) {
        const __m512i both =
            _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + i)));
        low = _mm512_fmadd_ps(_mm512_loadu_ps(query + i),
                              _mm512_cvtepi32_ps(_mm512_and_si512(both, _mm512_set1_epi32(15))), low);
        high = _mm512_fmadd_ps(_mm512_loadu_ps(query + half_length + i),
                               _mm512_cvtepi32_ps(_mm512_srli_epi32(both, 4)), high);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(low, high));
}

const Kernels kernels = {"avx512", one, several, 2, scan, dot_float, dot_half, dot_byte, dot_nibble};

}  // namespace avx512

#endif

#if X86

// Asked of the processor itself, because clang has no name for it before its release 15.
bool half_floats() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

#endif

const Kernels& best() {
#if X86
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) return avx512::kernels;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && half_floats()) return avx2::kernels;
#endif
    return plain::kernels;
}

const Kernels* kernels = &best();

// The vectors in full, one row each, in the order of their ordinals.
class Rows {
  public:
    Rows(int64_t size, int64_t dimensions, py::array data, py::object lows, py::object steps)
        : size_(size), dimensions_(dimensions), data_(data) {
        width_ = int(data.itemsize());
        const char kind = data.dtype().kind();
        nibbles_ = data.ndim() == 2 && kind == 'u' && width_ == 1 && data.shape(1) * 2 == dimensions;
        if (data.ndim() != 2 || data.shape(0) != size || (data.shape(1) != dimensions && !nibbles_) ||
            !(data.flags() & py::array::c_style))
            throw std::invalid_argument("the rows have another shape");
        stride_ = data.shape(1) * width_;
        if (!(kind == 'f' && (width_ == 4 || width_ == 2)) && !(kind == 'u' && width_ == 1))
            throw std::invalid_argument("rows are float32, float16 or uint8");
        if (width_ == 1) {
            lows_ = lows.cast<Array<float>>();
            steps_ = steps.cast<Array<float>>();
            if (lows_.size() != size || steps_.size() != size)
                throw std::invalid_argument("a low and a step for each row are needed");
        }
        first_ = static_cast<const uint8_t*>(data_.data());
        low_ = width_ == 1 ? lows_.data() : nullptr;
        step_ = width_ == 1 ? steps_.data() : nullptr;
    }

    int64_t size() const { return size_; }
    int64_t dimensions() const { return dimensions_; }

    void prefetch(int64_t ordinal) const {
        const uint8_t* row = first_ + ordinal * stride_;
        for (int64_t at = 0; at < stride_; at += 64) PREFETCH(row + at);
        if (width_ == 1) {
            PREFETCH(low_ + ordinal);
            PREFETCH(step_ + ordinal);
        }
    }

    // `total` is the sum of the query's elements.
    float score(const float* query, float total, int64_t ordinal) const {
        const uint8_t* row = first_ + ordinal * stride_;
        if (width_ == 4) return kernels->dot_float(query, reinterpret_cast<const float*>(row), dimensions_);
        if (width_ == 2) return kernels->dot_half(query, reinterpret_cast<const uint16_t*>(row), dimensions_);
        const auto dot = nibbles_ ? kernels->dot_nibble : kernels->dot_byte;
        return low_[ordinal] * total + step_[ordinal] * dot(query, row, dimensions_);
    }

  private:
    const int64_t size_, dimensions_;
    const py::array data_;
    Array<float> lows_, steps_;
    int width_;
    bool nibbles_;    // two elements in a byte, as `dot_nibble` reads them
    int64_t stride_;  // bytes of a row
    const uint8_t* first_;
    const float *low_, *step_;
};

float total(const float* values, int64_t count) {
    float sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += values[i];
    return sum;
}

// A matrix (rows, columns) as panels of kPanel columns, the last one filled up with zeros.
class Panels {
  public:
    Panels(const Array<float>& matrix, bool transposed)
        : rows_(matrix.shape(transposed ? 1 : 0)), columns_(matrix.shape(transposed ? 0 : 1)),
          count_((columns_ + kPanel - 1) / kPanel), values_(size_t(count_ * rows_ * kPanel), 0.0f) {
        const float* from = matrix.data();
        for (int64_t i = 0; i < rows_; ++i)
            for (int64_t j = 0; j < columns_; ++j)
                values_[size_t((j / kPanel * rows_ + i) * kPanel + j % kPanel)] =
                    transposed ? from[j * rows_ + i] : from[i * columns_ + j];
    }

    int64_t rows() const { return rows_; }
    int64_t columns() const { return columns_; }
    int64_t width() const { return count_ * kPanel; }

    void multiply(const float* rows, int64_t stride, int64_t count, float* out) const {
        int64_t q = 0;
        for (; q + kTogether <= count; q += kTogether)
            kernels->several(rows + q * stride, stride, values_.data(), count_, rows_, out + q * width(), width());
        for (; q < count; ++q) kernels->one(rows + q * stride, values_.data(), count_, rows_, out + q * width());
    }

  private:
    const int64_t rows_, columns_, count_;
    std::vector<float> values_;
};

// The first level.
class Lists {
  public:
    Lists(Array<float> reduction, Array<float> centroids, Array<float> spreads, Array<float> codebooks,
          Array<int64_t> starts, Array<uint8_t> codes, Array<int32_t> ordinals, int64_t size)
        : reduction(reduction, false), centroids(centroids, true), spreads_(spreads), codebooks_(codebooks),
          starts_(starts), codes_(codes), ordinals_(ordinals), size(size) {
        const int64_t d = reduction.shape(1), blocks = starts.data()[starts.size() - 1];
        if (codebooks.ndim() != 3 || codebooks.shape(2) != 16 || codebooks.shape(0) * codebooks.shape(1) != d ||
            codebooks.shape(0) % 4 || codebooks.shape(0) > kTables || centroids.shape(1) != d ||
            starts.size() != centroids.shape(0) + 1 || spreads.size() != centroids.shape(0) ||
            codes.size() != blocks * kBlock * codebooks.shape(0) / 2 || ordinals.size() != blocks * kBlock)
            throw std::invalid_argument("the lists' arrays do not fit together");
        for (int64_t l = 0; l + 1 < starts.size(); ++l)
            if (starts.data()[l] > starts.data()[l + 1] || starts.data()[0] != 0)
                throw std::invalid_argument("the lists' starts are not in order");
        for (int64_t i = 0; i < ordinals.size(); ++i)
            if (ordinals.data()[i] < -1 || ordinals.data()[i] >= size) throw std::out_of_range("no such vector");
        for (int64_t l = 0; l + 1 < starts.size(); ++l) {
            const int32_t* first = ordinals.data() + starts.data()[l] * kBlock;
            const int32_t* end = ordinals.data() + starts.data()[l + 1] * kBlock;
            ends_.push_back(std::find(first, end, -1) - ordinals.data());
        }
    }

    int tables() const { return int(codebooks_.shape(0)); }
    int length() const { return int(codebooks_.shape(1)); }
    int64_t count() const { return centroids.columns(); }
    const float* spreads() const { return spreads_.data(); }
    const float* codebooks() const { return codebooks_.data(); }
    const int64_t* starts() const { return starts_.data(); }
    const int32_t* ordinals() const { return ordinals_.data(); }
    const int64_t* ends() const { return ends_.data(); }
    const uint8_t* codes(int64_t block) const { return codes_.data() + block * kBlock * tables() / 2; }

    const Panels reduction, centroids;

  private:
    const Array<float> spreads_, codebooks_;
    const Array<int64_t> starts_;
    const Array<uint8_t> codes_;
    const Array<int32_t> ordinals_;
    std::vector<int64_t> ends_;  // the place after each list's last vector

  public:
    const int64_t size;
};

// The tables (count, 16) of a query, each from its least entry on; returns the widest one's range.
WIDE float entries(const float* query, const float* codebooks, int count, int length, float* out) {
    float widest = 0;
    for (int t = 0; t < count; ++t, out += 16) {
        float sums[16] = {};
        for (int i = 0; i < length; ++i, codebooks += 16)
            for (int c = 0; c < 16; ++c) sums[c] += query[t * length + i] * codebooks[c];
        float least[16], most[16];
        std::memcpy(least, sums, sizeof sums);
        std::memcpy(most, sums, sizeof sums);
        for (int half = 8; half > 0; half /= 2)
            for (int c = 0; c < half; ++c) {
                least[c] = least[c] < least[c + half] ? least[c] : least[c + half];
                most[c] = most[c] > most[c + half] ? most[c] : most[c + half];
            }
        for (int c = 0; c < 16; ++c) out[c] = sums[c] - least[0];
        widest = widest > most[0] - least[0] ? widest : most[0] - least[0];
    }
    return widest;
}

WIDE void round_entries(const float* values, float scale, int count, uint8_t* out) {
    for (int i = 0; i < count; ++i) out[i] = uint8_t(int(values[i] * scale + 0.5f));
}

WIDE void prioritise(const float* scores, const float* spreads, float norm, int64_t count, float* out) {
    for (int64_t l = 0; l < count; ++l) out[l] = scores[l] + norm * spreads[l];
}

WIDE void rank(const float* priorities, float most, float scale, int64_t count, uint16_t* out) {
    for (int64_t l = 0; l < count; ++l) out[l] = uint16_t(int((most - priorities[l]) * scale));
}

// How far a search goes.
struct Effort {
    int64_t k, lists, depth;
};

// What one thread needs while it searches.
class Worker {
  public:
    Worker(const Lists& lists, const Rows& rows, Effort effort, const bool* allowed, int64_t available)
        : lists_(lists), rows_(rows), effort_(effort), allowed_(allowed), wanted_(std::min(effort.k, available)),
          depth_(size_t(std::max(effort.depth, effort.k))), passed_(kChunk * kBlock) {}

    void group(const float* queries, int64_t count, float* scores, int64_t* ordinals);

  private:
    void tabulate(const float* reduced);
    void route(const float* scores, float norm);
    void scan();
    void take(int64_t list);
    void rescore(const float* query, float* scores, int64_t* ordinals);
    void count(int64_t sum);
    void compact();

    const Lists& lists_;
    const Rows& rows_;
    const Effort effort_;
    const bool* const allowed_;
    const int64_t wanted_;
    const size_t depth_;
    std::vector<float> reduced_, coarse_, priorities_;
    std::vector<uint16_t> steps_;
    alignas(64) float values_[kTables * 16];
    alignas(64) uint8_t rounded_[kTables * 16];
    alignas(64) uint8_t tables_[kTables * 16 * 2];
    float unit_ = 1;  // of the tables' entries
    std::vector<uint32_t> order_;     // lists, best first
    std::vector<uint64_t> kept_;      // candidates: sum above, complement of the place below
    // Candidates by sum in steps of kStep from base_ on: where the best `depth_` of them begin is the floor.
    std::vector<uint32_t> counts_;
    int64_t base_ = 0;
    int64_t floor_ = 0;               // sums below it are of no interest
    size_t bottom_ = 0, above_ = 0;   // the floor's step, and how many candidates reach it
    int64_t seen_ = 0;
    std::vector<Passed> passed_;
    const float* coarse_row_ = nullptr;
    std::vector<std::pair<float, int64_t>> scored_;
};

void Worker::group(const float* queries, int64_t count, float* scores, int64_t* ordinals) {
    const int64_t d = lists_.reduction.width(), width = lists_.centroids.width();
    reduced_.resize(size_t(count * d));
    coarse_.resize(size_t(count * width));
    lists_.reduction.multiply(queries, rows_.dimensions(), count, reduced_.data());
    lists_.centroids.multiply(reduced_.data(), d, count, coarse_.data());
    for (int64_t q = 0; q < count; ++q) {
        const float* reduced = reduced_.data() + q * d;
        float square = 0;
        for (int64_t i = 0; i < lists_.reduction.columns(); ++i) square += reduced[i] * reduced[i];
        coarse_row_ = coarse_.data() + q * width;
        tabulate(reduced);
        route(coarse_row_, std::sqrt(square));
        scan();
        rescore(queries + q * rows_.dimensions(), scores + q * effort_.k, ordinals + q * effort_.k);
    }
}

// Inner products of the query's parts with all codewords, in units that make the widest table fill its 6 bits.
void Worker::tabulate(const float* reduced) {
    const int count = lists_.tables(), copies = kernels->copies;
    const float widest = entries(reduced, lists_.codebooks(), count, lists_.length(), values_);
    unit_ = widest > 0 ? widest / kTableMax : 1.0f;
    round_entries(values_, 1 / unit_, count * 16, rounded_);
    for (int t = 0; t < count; ++t) {
        // Two copies: of four tables the first and the third twice, then the second and the fourth.
        uint8_t* to = tables_ + (copies == 1 ? t : t / 4 * 8 + t % 2 * 4 + t / 2 % 2 * 2) * 16;
        for (int copy = 0; copy < copies; ++copy) std::memcpy(to + copy * 16, rounded_ + t * 16, 16);
    }
}

// Orders the lists by the score that a vector far out in the list may have, in steps of a 1024th of their range;
// lists of one step come in the order of their numbers.
void Worker::route(const float* scores, float norm) {
    const int64_t count = lists_.count();
    priorities_.resize(size_t(count));
    steps_.resize(size_t(count));
    order_.resize(size_t(count));
    prioritise(scores, lists_.spreads(), norm, count, priorities_.data());
    float least = priorities_[0], most = priorities_[0];
    for (float priority : priorities_) {
        least = std::min(least, priority);
        most = std::max(most, priority);
    }
    const float scale = most > least ? (kRanks - 1) / (most - least) : 0.0f;
    rank(priorities_.data(), most, scale, count, steps_.data());
    uint32_t firsts[kRanks + 1] = {};
    for (uint16_t step : steps_) ++firsts[step + 1];
    for (int r = 0; r < kRanks; ++r) firsts[r + 1] += firsts[r];
    for (int64_t l = 0; l < count; ++l) order_[firsts[steps_[size_t(l)]]++] = uint32_t(l);
}

void Worker::scan() {
    kept_.clear();
    counts_.assign(kSteps, 0);
    floor_ = 0;
    bottom_ = above_ = 0;
    seen_ = 0;
    const size_t wanted = size_t(std::min(effort_.lists, lists_.count()));
    for (size_t i = 0; i < order_.size(); ++i) {
        if (i >= wanted && seen_ >= wanted_) break;
        if (i + 1 < order_.size()) PREFETCH(lists_.codes(lists_.starts()[order_[i + 1]]));
        take(order_[i]);
    }
    compact();
}

void Worker::take(int64_t list) {
    const float units = coarse_row_[list] / unit_;
    const int64_t offset = int64_t(std::min(std::max(units, -kFar), kFar)) + kBias;
    const int32_t* ordinals = lists_.ordinals();
    const int64_t last = lists_.ends()[list];
    if (kept_.empty()) base_ = offset - kSteps / 4 * kStep;
    for (int64_t block = lists_.starts()[list]; block < lists_.starts()[list + 1]; block += kChunk) {
        const int blocks = int(std::min<int64_t>(kChunk, lists_.starts()[list + 1] - block));
        const int64_t threshold = std::max<int64_t>(floor_ - offset - 1, -1);
        if (threshold > 32767) return;
        const int found = kernels->scan(lists_.codes(block), blocks, lists_.tables() / 2, tables_,
                                        int(threshold), passed_.data());
        for (int i = 0; i < found; ++i) {
            const int64_t sum = offset + passed_[size_t(i)].sum;
            if (sum < floor_) continue;
            const int64_t place = block * kBlock + passed_[size_t(i)].place;
            if (place >= last || (allowed_ && !allowed_[ordinals[place]])) continue;
            ++seen_;
            kept_.push_back(uint64_t(sum) << 32 | (0xffffffffu - uint32_t(place)));
            count(sum);
        }
    }
}

// Counts a candidate, and raises the floor as long as `depth_` candidates stay above it.
inline void Worker::count(int64_t sum) {
    const int64_t step = std::min<int64_t>(std::max<int64_t>(sum - base_, 0) / kStep, kSteps - 1);
    ++counts_[size_t(step)];
    if (++above_ <= depth_) return;
    while (above_ - counts_[bottom_] >= depth_) above_ -= counts_[bottom_++];
    if (bottom_ > 0) floor_ = base_ + int64_t(bottom_) * kStep;
}

// Keeps the best `depth_` candidates; of equals those in the first places.
void Worker::compact() {
    kept_.erase(std::remove_if(kept_.begin(), kept_.end(),
                               [this](uint64_t key) { return int64_t(key >> 32) < floor_; }),
                kept_.end());
    if (kept_.size() <= depth_) return;
    std::nth_element(kept_.begin(), kept_.begin() + int64_t(depth_) - 1, kept_.end(), std::greater<uint64_t>());
    kept_.resize(depth_);
}

void Worker::rescore(const float* query, float* scores, int64_t* ordinals) {
    const float sum = total(query, rows_.dimensions());
    const int32_t* ordinals_at = lists_.ordinals();
    const auto ordinal = [&](size_t i) { return int64_t(ordinals_at[0xffffffffu - uint32_t(kept_[i])]); };
    for (size_t i = 0; i < std::min<size_t>(kAhead, kept_.size()); ++i) rows_.prefetch(ordinal(i));
    scored_.clear();
    for (size_t i = 0; i < kept_.size(); ++i) {
        if (i + kAhead < kept_.size()) rows_.prefetch(ordinal(i + kAhead));
        scored_.emplace_back(-rows_.score(query, sum, ordinal(i)), ordinal(i));
    }
    const size_t best = std::min<size_t>(scored_.size(), size_t(effort_.k));
    std::partial_sort(scored_.begin(), scored_.begin() + int64_t(best), scored_.end());
    for (size_t i = 0; i < size_t(effort_.k); ++i) {
        scores[i] = i < best ? -scored_[i].first : -std::numeric_limits<float>::infinity();
        ordinals[i] = i < best ? scored_[i].second : -1;
    }
}

struct Mask {
    Array<bool> array;
    const bool* data = nullptr;
    int64_t available;

    Mask(py::object allowed, int64_t size) : available(size) {
        if (allowed.is_none()) return;
        array = allowed.cast<Array<bool>>();
        if (array.size() != size) throw std::invalid_argument("allowed has another length");
        data = array.data();
        available = std::count(data, data + size, true);
    }
};

py::tuple search(const Lists& lists, const Rows& rows, const Array<float>& queries, int64_t k, int64_t probes,
                 int64_t depth, py::object allowed, int threads) {
    if (queries.ndim() != 2 || queries.shape(1) != rows.dimensions() ||
        lists.reduction.rows() != rows.dimensions() || lists.size != rows.size())
        throw std::invalid_argument("the queries have another shape");
    if (k < 1 || probes < 1 || depth < 1 || threads < 1)
        throw std::invalid_argument("k, lists, depth and threads are at least 1");
    const int64_t count = queries.shape(0);
    const Mask mask(allowed, rows.size());
    py::array_t<float> scores({count, k});
    py::array_t<int64_t> ordinals({count, k});
    float* score = scores.mutable_data();
    int64_t* ordinal = ordinals.mutable_data();
    const float* query = queries.data();
    {
        py::gil_scoped_release released;
        std::atomic<int64_t> next{0};
        const auto work = [&] {
            Worker worker(lists, rows, {k, probes, depth}, mask.data, mask.available);
            for (int64_t q; (q = next.fetch_add(kGroup)) < count;)
                worker.group(query + q * rows.dimensions(), std::min<int64_t>(kGroup, count - q), score + q * k,
                             ordinal + q * k);
        };
        std::vector<std::thread> others;
        for (int t = 1; t < threads && t * kGroup < count; ++t) others.emplace_back(work);
        work();
        for (std::thread& other : others) other.join();
    }
    return py::make_tuple(scores, ordinals);
}

py::array_t<float> score(const Rows& rows, const Array<float>& query, const Array<int64_t>& ordinals) {
    if (query.size() != rows.dimensions()) throw std::invalid_argument("the query has another length");
    py::array_t<float> scores(ordinals.size());
    float* out = scores.mutable_data();
    const int64_t* wanted = ordinals.data();
    const int64_t count = ordinals.size();
    for (int64_t i = 0; i < count; ++i)
        if (wanted[i] < 0 || wanted[i] >= rows.size()) throw std::out_of_range("no such vector");
    const float* values = query.data();
    py::gil_scoped_release released;
    const float sum = total(values, rows.dimensions());
    for (int64_t i = 0; i < count; ++i) {
        if (i + kAhead < count) rows.prefetch(wanted[i + kAhead]);
        out[i] = rows.score(values, sum, wanted[i]);
    }
    return scores;
}

// Chooses the kernels by name; for tests, which compare them.
void use(const std::string& name) {
    if (name == "plain") kernels = &plain::kernels;
#if X86
    else if (name == "avx2" && best().name != plain::kernels.name) kernels = &avx2::kernels;
    else if (name == "avx512" && best().name == avx512::kernels.name) kernels = &avx512::kernels;
#endif
    else if (name == "best") kernels = &best();
    else throw std::invalid_argument("this processor has no kernels '" + name + "'");
}

}  // namespace

PYBIND11_MODULE(_scan, module) {
    module.doc() = "Two-level search; leanseek.indexing.dense.lean.lists describes the arrays.";
    py::class_<Rows>(module, "Rows").def(
        py::init<int64_t, int64_t, py::array, py::object, py::object>());
    py::class_<Lists>(module, "Lists")
        .def(py::init<Array<float>, Array<float>, Array<float>, Array<float>, Array<int64_t>, Array<uint8_t>,
                      Array<int32_t>, int64_t>());
    module.def("search", &search);
    module.def("score", &score);
    module.def("use", &use);
    module.def("used", [] { return std::string(kernels->name); });
}
