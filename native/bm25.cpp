// Sums over postings: the best passages of a query, and exact scores, of BM25 (leanseek/indexing/sparse/postings.py)
// and of learned sparse vectors (leanseek/indexing/learned/impact_postings.py). The kinds of segment differ in what a
// posting contributes and how it is bounded; the search is the same.
//
// Window-at-a-time MaxScore (Turtle and Flood, 1995; Dimopoulos, Nepomnyachiy and Suel, WSDM 2013): in each window
// of the collection the query's terms, heaviest first, are split where the rest together cannot lift a passage
// over the k-th best score so far. Postings of the first ones are added up; the others are looked up only for
// passages that can still make it. A passage's contributions are always added in the order of the query's terms,
// in float32 without contraction, so scores are the same bits as the NumPy kernel's.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <vector>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace py = pybind11;

// Wider vectors where the processor has them; the same operations on each element, hence the same bits.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDE
#endif

namespace {

constexpr int kWindow = 1 << 16;
constexpr int kBlock = 16;
constexpr int kBlocks = kWindow / kBlock;
constexpr int64_t kPiece = 1024;     // postings of a term that is alone, offered at a time
constexpr int kDense = kWindow / 2;  // postings of a window from which on its sums are looked through unmarked
constexpr int kCheap = 6;            // adding this many postings costs what looking up one passage does
constexpr int kBatch = 256;
constexpr int kLowPlaces = 256;      // places that a byte tells apart: those of a block of a long run
constexpr int kPacked = 4;           // postings in a byte of frequencies, and the least frequency that is not there
constexpr int kCounted = 64;         // postings after which it is known how many such frequencies were before
constexpr int kPlaceRoom = kBatch + 16;
constexpr int kFrequencyRoom = kBatch + 64;
constexpr int kLarge = 255;
constexpr int kShares = 16;          // term frequencies below this, and lengths below kLong, have their share in a table
constexpr int kLong = 255;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

struct Scored {
    float score;
    int64_t ordinal;
};

// Orders a heap so that its top is the worst of the best.
struct Better {
    bool operator()(const Scored& a, const Scored& b) const {
        return a.score > b.score || (a.score == b.score && a.ordinal < b.ordinal);
    }
};

// First posting in [at, end) whose place is not below `place`: doubling steps to a range that is halved without branches.
int64_t advance(const uint16_t* places, int64_t at, int64_t end, int place) {
    if (at >= end || places[at] >= place) return at;
    int64_t step = 8;
    while (at + step < end && places[at + step] < place) {
        at += step;
        step *= 4;
    }
    // The posting before `first` is below the place.
    const uint16_t* first = places + at + 1;
    for (int64_t left = std::min(at + step, end) - at - 1; left > 0;) {
        const int64_t half = (left + 1) / 2;
        first += first[half - 1] < place ? half : 0;
        left -= half;
    }
    return first - places;
}

// The runs of postings that both kinds of segment have, and their places (leanseek/indexing/sparse/places.py): runs of
// less than `lists` postings have a word for each. What a damaged file says may be wrong, but leads nowhere else.
class Segment {
  public:
    Segment(int64_t passages, const Array<int64_t>& term_runs, const Array<uint16_t>& run_windows,
            const Array<int64_t>& run_starts, const Array<uint16_t>& places, const Array<int64_t>& place_starts,
            int64_t lists, const py::object& deleted)
        : passages_(passages), terms_(term_runs.size() - 1), term_runs_(term_runs.data()),
          run_windows_(run_windows.data()), run_starts_(run_starts.data()), places_(places.data()),
          places_end_(places.data() + places.size()), place_starts_(place_starts.data()), lists_(lists), deleted_(nullptr) {
        const int64_t runs = run_windows.size();
        if (terms_ < 0 || term_runs_[terms_] != runs || run_starts.size() != runs + 1 ||
            place_starts.size() != runs + 1 || place_starts_[runs] != places.size())
            throw std::invalid_argument("the postings' arrays do not fit together");
        for (int64_t r = 0; r < runs; ++r) {
            const int64_t postings = run_starts_[r + 1] - run_starts_[r];
            const int64_t words = postings < lists_ ? postings : kLowPlaces + (postings + 1) / 2;
            if (place_starts_[r + 1] - place_starts_[r] != words)
                throw std::invalid_argument("a run has too few places");
            // Whatever the uint16 places of a damaged file say, they then fall inside norms and sums.
            if (run_windows_[r] >= windows()) throw std::invalid_argument("a run is beyond the last window");
        }
        kept_ = {term_runs, run_windows, run_starts, places, place_starts};
        if (!deleted.is_none()) {
            auto mask = deleted.cast<Array<bool>>();
            if (mask.size() != passages) throw std::invalid_argument("deleted has another length");
            deleted_ = mask.data();
            kept_.push_back(mask);
        }
    }

    int64_t passages() const { return passages_; }
    int64_t windows() const { return (passages_ + kWindow - 1) / kWindow; }
    int64_t terms() const { return terms_; }
    const int64_t* term_runs() const { return term_runs_; }
    const uint16_t* run_windows() const { return run_windows_; }
    const int64_t* run_starts() const { return run_starts_; }
    bool deleted(int64_t ordinal) const { return deleted_ && deleted_[ordinal]; }

    // Moves `at` to the first posting in [at, end) of a run, `end` being the run's, whose place is not below `place`;
    // returns whether it has that place.
    bool find(int64_t run, int64_t& at, int64_t end, int place) const {
        if (is_list(run)) {
            at = advance(list(run), at, end, place);
            return at < end && list(run)[at] == place;
        }
        const Blocks blocks = blocks_of(run);
        const int block = place / kLowPlaces, low = place % kLowPlaces;
        int64_t next = blocks.start(block);
        const int64_t stop = blocks.stop(block);
        while (next < stop && blocks.low[next] < low) ++next;
        at = std::max(at, run_starts_[run] + next);
        return at < end && next < stop && blocks.low[next] == low && at == run_starts_[run] + next;
    }

  protected:
    // The places of the postings [at, at + count), kBatch at most; `room` is for kPlaceRoom.
    const uint16_t* places(int64_t run, int64_t at, int count, uint16_t* room) const {
        if (is_list(run)) return list(run) + at;
        const Blocks blocks = blocks_of(run);
        const int64_t first = at - run_starts_[run];
        const uint8_t* low = blocks.low + first;
        // Sixteen are made at a time, of which the next block overwrites what is too much.
        const bool room_to_read = reinterpret_cast<const uint8_t*>(places_end_) - low >= count + 16;
        int block = int(std::upper_bound(blocks.starts + 1, blocks.starts + kLowPlaces, first) - blocks.starts) - 1;
        for (int filled = 0; filled < count; ++block) {
            const int stop = block + 1 < kLowPlaces
                                 ? int(std::clamp<int64_t>(blocks.starts[block + 1] - first, filled, count)) : count;
#ifdef __SSE2__
            const __m128i high = _mm_set1_epi8(char(block));
            for (; room_to_read && filled < stop; filled += 16) {
                const __m128i lows = _mm_loadu_si128(reinterpret_cast<const __m128i*>(low + filled));
                _mm_storeu_si128(reinterpret_cast<__m128i*>(room + filled), _mm_unpacklo_epi8(lows, high));
                _mm_storeu_si128(reinterpret_cast<__m128i*>(room + filled + 8), _mm_unpackhi_epi8(lows, high));
            }
#endif
            for (; filled < stop; ++filled) room[filled] = uint16_t(block << 8 | low[filled]);
            filled = stop;
        }
        return room;
    }

    int64_t passages_, terms_;
    const int64_t* term_runs_;
    const uint16_t* run_windows_;
    const int64_t* run_starts_;
    std::vector<py::object> kept_;

  private:
    // A long run: how many of its postings are before each block of places, and their places in their blocks.
    struct Blocks {
        const uint16_t* starts;
        const uint8_t* low;
        int64_t size;

        int64_t start(int block) const { return std::min<int64_t>(starts[block], size); }
        int64_t stop(int block) const { return block + 1 < kLowPlaces ? start(block + 1) : size; }
    };

    bool is_list(int64_t run) const { return run_starts_[run + 1] - run_starts_[run] < lists_; }
    // By the number of a posting.
    const uint16_t* list(int64_t run) const { return places_ + (place_starts_[run] - run_starts_[run]); }
    Blocks blocks_of(int64_t run) const {
        const uint16_t* starts = places_ + place_starts_[run];
        return {starts, reinterpret_cast<const uint8_t*>(starts + kLowPlaces), run_starts_[run + 1] - run_starts_[run]};
    }

    const uint16_t* places_;
    const uint16_t* places_end_;
    const int64_t* place_starts_;
    int64_t lists_;
    const bool* deleted_;
};

int ones(uint64_t word) {
    word -= word >> 1 & 0x5555555555555555u;
    word = (word & 0x3333333333333333u) + (word >> 2 & 0x3333333333333333u);
    return int(((word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u >> 56);
}

int lowest(uint64_t mask) {
#if defined(__GNUC__)
    return __builtin_ctzll(mask);
#else
    int bit = 0;
    while (!(mask >> bit & 1)) ++bit;
    return bit;
#endif
}

// Term frequencies (leanseek/indexing/sparse/frequencies.py), up to kLarge.
class Frequencies {
  public:
    Frequencies(const Array<uint8_t>& codes, const Array<uint8_t>& more, const Array<int64_t>& more_starts,
                int64_t postings)
        : codes_(codes.data()), codes_end_(codes.data() + codes.size()), more_(more.data()), mores_(more.size()), more_starts_(more_starts.data()) {
        const int64_t blocks = (postings + kCounted - 1) / kCounted;
        if (codes.size() != (postings + kPacked - 1) / kPacked || more_starts.size() != blocks + 1)
            throw std::invalid_argument("the frequencies' arrays do not fit together");
    }

    int of(int64_t at) const {
        const int frequency = (codes_[at / kPacked] >> 2 * (at % kPacked) & 3) + 1;
        return frequency < kPacked ? frequency : more(before(at));
    }

    // Those of the postings [at, at + count), kBatch at most; `room` is for kFrequencyRoom.
    const uint8_t* of(int64_t at, int count, uint8_t* room) const {
        const uint8_t* codes = codes_ + at / kPacked;
        const int skipped = int(at % kPacked), end = skipped + count;
        int64_t next = -1;
        for (int first = 0; first < end; first += 64, codes += 16) {
            // Bit i for the i-th whose frequency is in `more`.
            uint64_t larger = sixty_four(codes, std::min<int64_t>(16, codes_end_ - codes), room + first);
            if (first < skipped) larger &= ~uint64_t(0) << skipped;
            if (first + 64 > end) larger &= ~uint64_t(0) >> (first + 64 - end);
            if (larger == 0) continue;
            if (next < 0) next = before(at + first + lowest(larger) - skipped);
            for (; larger != 0; larger &= larger - 1) room[first + lowest(larger)] = more(next++);
        }
        return room + skipped;
    }

  private:
    // How many postings before this one have their frequency in `more`.
    int64_t before(int64_t at) const {
        int64_t count = more_starts_[at / kCounted];
        const uint8_t* codes = codes_ + at / kCounted * (kCounted / kPacked);
        int left = int(at % kCounted);
        for (; left >= 8 * kPacked; left -= 8 * kPacked, codes += 8) {
            uint64_t eight;
            std::memcpy(&eight, codes, 8);
            count += ones(eight & eight >> 1 & 0x5555555555555555u);
        }
        for (; left >= kPacked; left -= kPacked, ++codes) count += ones(*codes & *codes >> 1 & 0x55);
        return left > 0 ? count + ones(*codes & *codes >> 1 & 0x55 & ((1 << 2 * left) - 1)) : count;
    }

    // What up to 16 bytes of codes say, kPacked for frequencies that are in `more`; returns which these are.
    static uint64_t sixty_four(const uint8_t* codes, int64_t size, uint8_t* out) {
        uint64_t larger = 0;
#ifdef __SSE2__
        if (size == 16) {
            const __m128i three = _mm_set1_epi8(3), one = _mm_set1_epi8(1), four = _mm_set1_epi8(kPacked);
            const __m128i all = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
            const __m128i zeroth = _mm_and_si128(all, three), first = _mm_and_si128(_mm_srli_epi16(all, 2), three);
            const __m128i second = _mm_and_si128(_mm_srli_epi16(all, 4), three);
            const __m128i third = _mm_and_si128(_mm_srli_epi16(all, 6), three);
            const __m128i pairs[4] = {_mm_unpacklo_epi8(zeroth, first), _mm_unpacklo_epi8(second, third),
                                      _mm_unpackhi_epi8(zeroth, first), _mm_unpackhi_epi8(second, third)};
            const __m128i sixteens[4] = {_mm_unpacklo_epi16(pairs[0], pairs[1]), _mm_unpackhi_epi16(pairs[0], pairs[1]),
                                         _mm_unpacklo_epi16(pairs[2], pairs[3]), _mm_unpackhi_epi16(pairs[2], pairs[3])};
            for (int i = 0; i < 4; ++i) {
                const __m128i frequencies = _mm_add_epi8(sixteens[i], one);
                _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 16 * i), frequencies);
                larger |= uint64_t(uint32_t(_mm_movemask_epi8(_mm_cmpeq_epi8(frequencies, four)))) << 16 * i;
            }
            return larger;
        }
#endif
        for (int i = 0; i < size * kPacked; ++i) {
            out[i] = uint8_t((codes[i / kPacked] >> 2 * (i % kPacked) & 3) + 1);
            larger |= uint64_t(out[i] == kPacked) << i;
        }
        return larger;
    }

    uint8_t more(int64_t place) const { return place < mores_ ? more_[place] : uint8_t(kPacked); }

    const uint8_t* codes_;
    const uint8_t* codes_end_;
    const uint8_t* more_;
    int64_t mores_;
    const int64_t* more_starts_;
};

WIDE void saturated(const uint16_t* places, const uint8_t* frequencies, int count, const float* norms,
                    float weight, float* out) {
    for (int i = 0; i < count; ++i) {
        const float f = float(frequencies[i]);
        out[i] = weight * (f / (f + norms[places[i]]));
    }
}

// Adds to the sums of short passages, up to the first posting with a frequency or a length that has no share; returns how
// many those are. On its own, so that all that the loop needs is in registers.
template <bool kMark>
int add_shares(const uint16_t* __restrict places, const uint8_t* __restrict frequencies, int count,
               const uint8_t* __restrict lengths, const float (*__restrict shares)[kLong + 1], float weight,
               float* __restrict sums, uint8_t* __restrict marked) {
    for (int i = 0; i < count; ++i) {
        const int place = places[i], f = frequencies[i], l = lengths[place];
        if (f >= kShares || l >= kLong) return i;
        sums[place] += weight * shares[f][l];
        if (kMark) marked[place / kBlock] = 1;
    }
    return count;
}

// weight * (f / (f + norm)) of term frequencies f; those of 255 and more are in a list of their own.
class Bm25Segment : public Segment {
  public:
    Bm25Segment(int64_t passages, Array<int64_t> term_runs, Array<uint16_t> run_windows, Array<int64_t> run_starts,
                Array<uint16_t> places, Array<int64_t> place_starts, int64_t lists, Array<uint8_t> frequencies,
                Array<uint8_t> more, Array<int64_t> more_starts, Array<int64_t> large_at, Array<int32_t> large,
                Array<float> norms, Array<uint8_t> lengths, Array<float> length_norms, py::object deleted)
        : Segment(passages, term_runs, run_windows, run_starts, places, place_starts, lists, deleted),
          frequencies_(frequencies, more, more_starts, run_starts_[run_windows.size()]), large_at_(large_at.data()),
          large_(large.data()), larges_(large.size()), norms_(norms.data()), lengths_(lengths.data()),
          bounds_(static_cast<size_t>(run_windows.size())) {
        if (large_at.size() != larges_ || norms.size() != windows() * kWindow || lengths.size() != norms.size() ||
            length_norms.size() != kLong)
            throw std::invalid_argument("the postings' arrays do not fit together");
        for (const py::object& array : {py::object(frequencies), py::object(more), py::object(more_starts),
                                        py::object(large_at), py::object(large), py::object(norms), py::object(lengths)})
            kept_.push_back(array);
        for (int f = 0; f < kShares; ++f)
            for (int l = 0; l < kLong; ++l) shares_[f][l] = float(f) / (float(f) + length_norms.data()[l]);
        short_ = 8 * std::count(lengths_, lengths_ + passages, kLong) < passages;
    }

    // At least what any posting of the run contributes for a weight of 1, up to rounding; found at its first use.
    double bound(int64_t run) const {
        float most = bounds_[size_t(run)].load(std::memory_order_relaxed);
        if (most == 0) {
            each(run_windows_[run], run, run_starts_[run], run_starts_[run + 1], 1.0f,
                 [&](int, float value) { most = std::max(most, value); });
            bounds_[size_t(run)].store(most, std::memory_order_relaxed);
        }
        return most;
    }

    float contribution(int window, int64_t at, int place, float weight) const {
        return saturation(window, at, place, frequencies_.of(at), weight);
    }

    // Adds the contributions of the postings [at, end), and marks their blocks unless `marked` is null.
    void add(int window, int64_t run, int64_t at, int64_t end, float weight, float* sums, uint8_t* marked) const {
        if (!short_) {
            each(window, run, at, end, weight, [=](int place, float value) {
                sums[place] += value;
                if (marked) marked[place / kBlock] = 1;
            });
            return;
        }
        uint16_t place_room[kPlaceRoom];
        uint8_t frequency_room[kFrequencyRoom];
        const uint8_t* lengths = lengths_ + int64_t(window) * kWindow;
        for (int count; at < end; at += count) {
            count = int(std::min<int64_t>(kBatch, end - at));
            const uint16_t* places = this->places(run, at, count, place_room);
            const uint8_t* frequencies = frequencies_.of(at, count, frequency_room);
            for (int i = 0;; ++i) {
                i += marked ? add_shares<true>(places + i, frequencies + i, count - i, lengths, shares_, weight, sums, marked)
                            : add_shares<false>(places + i, frequencies + i, count - i, lengths, shares_, weight, sums, marked);
                if (i == count) break;
                sums[places[i]] += saturation(window, at + i, places[i], frequencies[i], weight);
                if (marked) marked[places[i] / kBlock] = 1;
            }
        }
    }

    // Calls `take` with place and contribution of the postings [at, end).
    template <class Take>
    void each(int window, int64_t run, int64_t at, int64_t end, float weight, Take take) const {
        uint16_t place_room[kPlaceRoom];
        uint8_t frequency_room[kFrequencyRoom];
        float values[kBatch];
        const uint8_t* lengths = lengths_ + int64_t(window) * kWindow;
        for (int count; at < end; at += count) {
            count = int(std::min<int64_t>(kBatch, end - at));
            const uint16_t* places = this->places(run, at, count, place_room);
            const uint8_t* frequencies = frequencies_.of(at, count, frequency_room);
            if (short_) {
                for (int i = 0; i < count; ++i) {
                    const int place = places[i], f = frequencies[i], l = lengths[place];
                    take(place, f < kShares && l < kLong ? weight * shares_[f][l]
                                                         : saturation(window, at + i, place, f, weight));
                }
            } else {
                saturated(places, frequencies, count, norms(window), weight, values);
                for (int i = 0; i < count; ++i)
                    take(places[i], frequencies[i] == kLarge
                                        ? saturation(window, at + i, places[i], kLarge, weight) : values[i]);
            }
        }
    }

  private:
    const float* norms(int window) const { return norms_ + int64_t(window) * kWindow; }

    float saturation(int window, int64_t at, int place, int frequency, float weight) const {
        const float f = frequency == kLarge ? large(at) : float(frequency);
        return weight * (f / (f + norms(window)[place]));
    }

    float large(int64_t posting) const {
        const int64_t* found = std::lower_bound(large_at_, large_at_ + larges_, posting);
        return found < large_at_ + larges_ && *found == posting ? float(large_[found - large_at_]) : float(kLarge);
    }

    Frequencies frequencies_;
    const int64_t* large_at_;
    const int32_t* large_;
    int64_t larges_;
    const float* norms_;
    const uint8_t* lengths_;  // kLong for that and more
    float shares_[kShares][kLong + 1];
    bool short_;  // whether nearly all passages are
    mutable std::vector<std::atomic<float>> bounds_;  // of runs, 0 until they are known
};

// weight * impact, both whole numbers up to 255: sums of no more than 255 of them are exact in float32.
class ImpactSegment : public Segment {
  public:
    ImpactSegment(int64_t passages, Array<int64_t> term_runs, Array<uint16_t> run_windows, Array<int64_t> run_starts,
                  Array<uint8_t> run_most, Array<uint16_t> places, Array<uint8_t> impacts, py::object deleted)
        : Segment(passages, term_runs, run_windows, run_starts, places, run_starts, kWindow + 1, deleted),
          run_most_(run_most.data()), impacts_(impacts.data()) {
        if (run_most.size() != run_windows.size() || impacts.size() != places.size())
            throw std::invalid_argument("the postings' arrays do not fit together");
        kept_.push_back(run_most);
        kept_.push_back(impacts);
    }

    double bound(int64_t run) const { return run_most_[run]; }
    float contribution(int, int64_t at, int, float weight) const { return weight * float(impacts_[at]); }
    void add(int window, int64_t run, int64_t at, int64_t end, float weight, float* sums, uint8_t* marked) const {
        each(window, run, at, end, weight, [=](int place, float value) {
            sums[place] += value;
            if (marked) marked[place / kBlock] = 1;
        });
    }
    template <class Take>
    void each(int, int64_t run, int64_t at, int64_t end, float weight, Take take) const {
        const uint16_t* places = this->places(run, at, 0, nullptr);
        for (int64_t i = 0; i < end - at; ++i) take(places[i], weight * float(impacts_[at + i]));
    }

  private:
    const uint8_t* run_most_;
    const uint8_t* impacts_;
};

// Which of a block's sums are above the cut, compared by their bits: bit i for the i-th.
uint32_t above(const float* sums, int32_t cut) {
#ifdef __SSE2__
    static_assert(kBlock == 16);
    const __m128i limit = _mm_set1_epi32(cut);
    __m128i four[4];
    for (int j = 0; j < 4; ++j) four[j] = _mm_cmpgt_epi32(_mm_castps_si128(_mm_loadu_ps(sums + 4 * j)), limit);
    return uint32_t(_mm_movemask_epi8(
        _mm_packs_epi16(_mm_packs_epi32(four[0], four[1]), _mm_packs_epi32(four[2], four[3]))));
#else
    uint32_t mask = 0;
    int32_t bits[kBlock];
    std::memcpy(bits, sums, sizeof bits);
    for (int i = 0; i < kBlock; ++i) mask |= uint32_t(bits[i] > cut) << i;
    return mask;
#endif
}

// Sums of one window's passages, kept between queries of a thread: all -0.0f when not in use, to which adding c
// gives c, and whose sign tells a passage without any term.
struct Sums {
    std::vector<float> of = std::vector<float>(kWindow, -0.0f);
    std::vector<uint8_t> marked = std::vector<uint8_t>(kBlocks, 0);
};

Sums& thread_sums() {
    static thread_local Sums sums;
    return sums;
}

// The postings of one term in one window.
struct Run {
    float weight;
    int64_t number;
    int64_t at, end;  // the next posting to read, and past the last
    double bound;
};

struct Candidate {
    float score;
    uint16_t place;
};

template <class Kind>
class Search {
  public:
    Search(size_t k, float constant, size_t terms, const bool* allowed)
        : k_(k), constant_(constant), slack_((double(terms) + 8) * 1.2e-7), allowed_(allowed),
          sums_(thread_sums()) {}

    void segment(const Kind& segment, int64_t base, const std::vector<int64_t>& terms,
                 const std::vector<float>& weights);

    // Best first; of segments' equals at the end of the list all remain.
    std::vector<Scored> results() {
        std::vector<Scored> kept;
        for (const Scored& scored : found_)
            if (scored.score >= floor_) kept.push_back(scored);
        std::sort(kept.begin(), kept.end(), Better());
        return kept;
    }

  private:
    // A passage whose sum is at most this, when at most `rest` is still to come, is not among the best.
    float cut(double rest) const {
        if (threshold_ == -kInfinity) return -kInfinity;
        const double margin = slack_ * (std::fabs(threshold_) + constant_ + rest);
        return std::nextafter(float(threshold_ - constant_ - rest - margin), -kInfinity);
    }

    void window(const Kind& segment, int window, int64_t base, std::vector<Run>& runs);
    void finish(const Kind& segment, int window, int64_t base, std::vector<Run>& runs, size_t added);
    void take(const Kind& segment, int window, const Run& run, float cut);
    void collect(float cut, bool dense);
    void complete(const Kind& segment, int window, Run& run, float cut);
    void offer(const Kind& segment, int64_t first, int64_t base);
    void keep_best();

    const size_t k_;
    const float constant_;
    const double slack_;  // more than the rounding of as many additions
    const bool* const allowed_;
    float threshold_ = -kInfinity;  // only scores above it matter in the segment at hand
    float floor_ = -kInfinity;      // the k-th best score of the segments so far
    std::vector<Scored> best_, found_;
    size_t full_ = 0;  // of how many the best are sorted out
    std::vector<Candidate> candidates_;
    std::vector<double> rest_;
    Sums& sums_;
};

template <class Kind>
void Search<Kind>::segment(const Kind& segment, int64_t base, const std::vector<int64_t>& terms,
                     const std::vector<float>& weights) {
    best_.clear();
    full_ = k_;
    // Equals of another segment may come before those found: their ids decide.
    threshold_ = floor_ == -kInfinity ? floor_ : std::nextafter(floor_, -kInfinity);

    const int64_t* term_runs = segment.term_runs();
    std::vector<int64_t> next(terms.size());
    for (size_t t = 0; t < terms.size(); ++t) next[t] = terms[t] < 0 ? 0 : term_runs[terms[t]];
    std::vector<Run> runs;
    const int windows = int((segment.passages() + kWindow - 1) / kWindow);
    for (int w = 0; w < windows; ++w) {
        runs.clear();
        for (size_t t = 0; t < terms.size(); ++t) {
            if (terms[t] < 0) continue;
            int64_t& run = next[t];
            const int64_t last = term_runs[terms[t] + 1];
            while (run < last && segment.run_windows()[run] < w) ++run;
            if (run == last || segment.run_windows()[run] != w) continue;
            runs.push_back({weights[t], run, segment.run_starts()[run], segment.run_starts()[run + 1],
                            weights[t] * segment.bound(run)});
        }
        if (!runs.empty()) window(segment, w, base, runs);
    }

    keep_best();
    found_.insert(found_.end(), best_.begin(), best_.end());
    if (found_.size() >= k_) {
        std::nth_element(found_.begin(), found_.begin() + static_cast<std::ptrdiff_t>(k_ - 1), found_.end(), Better());
        floor_ = found_[k_ - 1].score;
    }
}

template <class Kind>
void Search<Kind>::window(const Kind& segment, int window, int64_t base, std::vector<Run>& runs) {
    const size_t count = runs.size();
    rest_.assign(count + 1, 0.0);
    for (size_t j = count; j-- > 0;) rest_[j] = rest_[j + 1] + runs[j].bound;

    // Runs from `essential` on cannot together lift a passage into the best.
    size_t essential = count;
    while (essential > 0 && cut(rest_[essential - 1]) >= 0) --essential;
    if (essential == 0) return;
    int64_t postings = 0;
    size_t added = 0;
    for (; added < essential; ++added) postings += runs[added].end - runs[added].at;
    for (; added < count && runs[added].end - runs[added].at <= kCheap * postings; ++added)
        postings += runs[added].end - runs[added].at;

    if (added > 1) {
        const bool dense = postings >= kDense;
        uint8_t* marked = dense ? nullptr : sums_.marked.data();
        for (size_t j = 0; j < added; ++j)
            segment.add(window, runs[j].number, runs[j].at, runs[j].end, runs[j].weight, sums_.of.data(), marked);
        collect(cut(rest_[added]), dense);
        finish(segment, window, base, runs, added);
        return;
    }
    // Nothing is to be added up: each piece of the run sets the score that the next one has to beat.
    for (Run piece = runs[0]; piece.at < runs[0].end; piece.at = piece.end) {
        piece.end = std::min(piece.at + kPiece, runs[0].end);
        take(segment, window, piece, cut(rest_[added]));
        finish(segment, window, base, runs, added);
    }
}

// Looks the candidates up in the runs from `added` on, and keeps the best.
template <class Kind>
void Search<Kind>::finish(const Kind& segment, int window, int64_t base, std::vector<Run>& runs, size_t added) {
    for (size_t j = added; j < runs.size() && !candidates_.empty(); ++j)
        complete(segment, window, runs[j], cut(rest_[j]));
    offer(segment, int64_t(window) * kWindow, base);
}

template <class Kind>
void Search<Kind>::take(const Kind& segment, int window, const Run& run, float cut) {
    candidates_.clear();
    segment.each(window, run.number, run.at, run.end, run.weight, [&](int place, float value) {
        if (value > cut) candidates_.push_back({value, uint16_t(place)});
    });
}

template <class Kind>
void Search<Kind>::collect(float cut, bool dense) {
    candidates_.clear();
    int32_t cut_bits = -1;  // every touched sum, 0 included
    if (cut >= 0) std::memcpy(&cut_bits, &cut, sizeof cut);
    uint8_t* marked = sums_.marked.data();
    for (int block = 0; block < kBlocks; ++block) {
        if (!dense) {
            if (block % 8 == 0) {
                uint64_t eight;
                std::memcpy(&eight, marked + block, sizeof eight);
                if (eight == 0) {
                    block += 7;
                    continue;
                }
            }
            if (!marked[block]) continue;
            marked[block] = 0;
        }
        float* sums = sums_.of.data() + block * kBlock;
        // Sums are not negative, and such floats are in the order of their bits.
        for (uint32_t mask = above(sums, cut_bits); mask != 0; mask &= mask - 1) {
            const int i = lowest(mask);
            candidates_.push_back({sums[i], uint16_t(block * kBlock + i)});
        }
        std::fill(sums, sums + kBlock, -0.0f);
    }
}

template <class Kind>
void Search<Kind>::complete(const Kind& segment, int window, Run& run, float cut) {
    size_t kept = 0;
    for (Candidate candidate : candidates_) {
        if (candidate.score <= cut) continue;
        if (segment.find(run.number, run.at, run.end, candidate.place))
            candidate.score += segment.contribution(window, run.at, candidate.place, run.weight);
        candidates_[kept++] = candidate;
    }
    candidates_.resize(kept);
}

template <class Kind>
void Search<Kind>::offer(const Kind& segment, int64_t first, int64_t base) {
    for (const Candidate& candidate : candidates_) {
        const float score = candidate.score + constant_;
        if (!(score > threshold_)) continue;
        const int64_t local = first + candidate.place;
        if (local >= segment.passages() || segment.deleted(local)) continue;
        if (allowed_ && !allowed_[base + local]) continue;
        best_.push_back({score, base + local});
        if (best_.size() == full_) keep_best();
    }
}

// Sorting out only now and then takes less than a heap would.
template <class Kind>
void Search<Kind>::keep_best() {
    full_ = 2 * k_ + 8;
    if (best_.size() < k_) return;
    std::nth_element(best_.begin(), best_.begin() + static_cast<std::ptrdiff_t>(k_ - 1), best_.end(), Better());
    best_.resize(k_);
    threshold_ = std::max(threshold_, best_[k_ - 1].score);
}

std::vector<int64_t> checked(const Array<int64_t>& terms, const Segment& segment, size_t count) {
    if (size_t(terms.size()) != count) throw std::invalid_argument("one term number a weight is needed");
    std::vector<int64_t> numbers(terms.data(), terms.data() + terms.size());
    for (int64_t number : numbers)
        if (number < -1 || number >= segment.terms()) throw std::out_of_range("no such term");
    return numbers;
}

// segments and terms go together; a term number is -1 where the segment lacks the term.
template <class Kind>
py::tuple search(const std::vector<const Kind*>& segments, const std::vector<Array<int64_t>>& terms,
                 const Array<float>& weights, float constant, size_t k, py::object allowed) {
    if (segments.size() != terms.size()) throw std::invalid_argument("one list of terms a segment is needed");
    const std::vector<float> weight(weights.data(), weights.data() + weights.size());
    std::vector<std::vector<int64_t>> numbers;
    int64_t size = 0;
    for (size_t s = 0; s < segments.size(); ++s) {
        numbers.push_back(checked(terms[s], *segments[s], weight.size()));
        size += segments[s]->passages();
    }
    Array<bool> mask;
    const bool* allowed_data = nullptr;
    if (!allowed.is_none()) {
        mask = allowed.cast<Array<bool>>();
        if (mask.size() != size) throw std::invalid_argument("allowed has another length");
        allowed_data = mask.data();
    }
    std::vector<Scored> results;
    {
        py::gil_scoped_release released;
        Search<Kind> state(k, constant, weight.size(), allowed_data);
        int64_t base = 0;
        for (size_t s = 0; k > 0 && s < segments.size(); ++s) {
            state.segment(*segments[s], base, numbers[s], weight);
            base += segments[s]->passages();
        }
        results = state.results();
    }
    const auto count = static_cast<py::ssize_t>(results.size());
    py::array_t<float> scores(count);
    py::array_t<int64_t> ordinals(count);
    float* score = scores.mutable_data();
    int64_t* ordinal = ordinals.mutable_data();
    for (const Scored& scored : results) {
        *score++ = scored.score;
        *ordinal++ = scored.ordinal;
    }
    return py::make_tuple(scores, ordinals);
}

template <class Kind>
py::array_t<float> score(const Kind& segment, const Array<int64_t>& terms, const Array<float>& weights,
                         float constant, const Array<int64_t>& ordinals) {
    const std::vector<int64_t> numbers = checked(terms, segment, static_cast<size_t>(weights.size()));
    for (int64_t i = 0; i < ordinals.size(); ++i)
        if (ordinals.data()[i] < 0 || ordinals.data()[i] >= segment.passages())
            throw std::out_of_range("no such passage");
    py::array_t<float> scores(ordinals.size());
    float* out = scores.mutable_data();
    const int64_t* wanted = ordinals.data();
    const int64_t count = ordinals.size();
    const float* weight = weights.data();
    py::gil_scoped_release released;
    for (int64_t i = 0; i < count; ++i) {
        const int window = int(wanted[i] / kWindow);
        const int place = int(wanted[i] % kWindow);
        float sum = -0.0f;
        for (size_t t = 0; t < numbers.size(); ++t) {
            if (numbers[t] < 0) continue;
            const uint16_t* windows = segment.run_windows();
            const uint16_t* first = windows + segment.term_runs()[numbers[t]];
            const uint16_t* last = windows + segment.term_runs()[numbers[t] + 1];
            const uint16_t* run = std::lower_bound(first, last, window);
            if (run == last || *run != window) continue;
            int64_t at = segment.run_starts()[run - windows];
            if (segment.find(run - windows, at, segment.run_starts()[run - windows + 1], place))
                sum += segment.contribution(window, at, place, weight[t]);
        }
        out[i] = std::signbit(sum) ? 0.0f : sum + constant;
    }
    return scores;
}

}  // namespace

PYBIND11_MODULE(_native, module) {
    module.doc() = "Kernels of BM25 and of learned sparse vectors; leanseek.indexing.sparse.kernel describes the interface.";
    py::class_<Bm25Segment>(module, "Bm25Segment")
        .def(py::init<int64_t, Array<int64_t>, Array<uint16_t>, Array<int64_t>, Array<uint16_t>, Array<int64_t>, int64_t,
                      Array<uint8_t>, Array<uint8_t>, Array<int64_t>, Array<int64_t>, Array<int32_t>, Array<float>,
                      Array<uint8_t>, Array<float>, py::object>());
    py::class_<ImpactSegment>(module, "ImpactSegment")
        .def(py::init<int64_t, Array<int64_t>, Array<uint16_t>, Array<int64_t>, Array<uint8_t>, Array<uint16_t>,
                      Array<uint8_t>, py::object>());
    module.def("search", &search<Bm25Segment>);
    module.def("search", &search<ImpactSegment>);
    module.def("score", &score<Bm25Segment>);
    module.def("score", &score<ImpactSegment>);
}
