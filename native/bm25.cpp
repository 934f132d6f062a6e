// Sums over postings: the best passages of a query, and exact scores, of BM25 (leanseek/indexing/sparse/postings.py)
// and of learned sparse vectors (leanseek/indexing/learned/impact_postings.py). The kinds of segment differ in what a
// posting contributes and how it is bounded; the search is the same.
//
// Window-at-a-time MaxScore (Turtle and Flood, 1995; Dimopoulos, Nepomnyachiy and Suel, WSDM 2013): in each part
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
constexpr int kPart = 1 << 13;       // passages scored at a time, so that their sums stay in the nearest cache
constexpr int kFew = 2048;           // a window with fewer postings to add up is scored as one part
constexpr int kCheap = 6;            // adding this many postings costs what looking up one passage does
constexpr int kBatch = 256;
constexpr int kLarge = 255;
constexpr int kShares = 16;          // term frequencies below this, and lengths below kLong, have their share in a table
constexpr int kLong = 255;
constexpr int kLongRun = 64;         // postings of a run whose largest contribution is worth finding
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

// The runs of postings that both kinds of segment have; `values` is a byte for each.
class Segment {
  public:
    Segment(int64_t passages, Array<int64_t> term_runs, Array<uint16_t> run_windows, Array<int64_t> run_starts,
            Array<uint8_t> run_most, Array<uint16_t> places, Array<uint8_t> values, py::object deleted)
        : passages_(passages), terms_(term_runs.size() - 1), term_runs_(term_runs.data()),
          run_windows_(run_windows.data()), run_starts_(run_starts.data()), run_most_(run_most.data()),
          places_(places.data()), values_(values.data()), deleted_(nullptr) {
        const int64_t runs = run_windows.size(), postings = places.size();
        if (terms_ < 0 || term_runs_[terms_] != runs || run_starts.size() != runs + 1 ||
            run_starts_[runs] != postings || run_most.size() != runs || values.size() != postings)
            throw std::invalid_argument("the postings' arrays do not fit together");
        // Whatever the uint16 places of a damaged file say, they then fall inside norms and sums.
        for (int64_t r = 0; r < runs; ++r)
            if (run_windows_[r] >= windows()) throw std::invalid_argument("a run is beyond the last window");
        kept_ = {term_runs, run_windows, run_starts, run_most, places, values};
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
    const uint16_t* places() const { return places_; }
    bool deleted(int64_t ordinal) const { return deleted_ && deleted_[ordinal]; }

  protected:
    int64_t passages_, terms_;
    const int64_t* term_runs_;
    const uint16_t* run_windows_;
    const int64_t* run_starts_;
    const uint8_t* run_most_;
    const uint16_t* places_;
    const uint8_t* values_;
    const bool* deleted_;
    std::vector<py::object> kept_;
};

WIDE void saturated(const uint16_t* places, const uint8_t* frequencies, int count, const float* norms,
                    float weight, float* out) {
    for (int i = 0; i < count; ++i) {
        const float f = float(frequencies[i]);
        out[i] = weight * (f / (f + norms[places[i]]));
    }
}

// weight * (f / (f + norm)) of term frequencies f; those of 255 and more are in a list of their own.
class Bm25Segment : public Segment {
  public:
    Bm25Segment(int64_t passages, Array<int64_t> term_runs, Array<uint16_t> run_windows, Array<int64_t> run_starts,
                Array<uint8_t> run_frequency, Array<int32_t> run_length, Array<uint16_t> places,
                Array<uint8_t> frequencies, Array<int64_t> large_at, Array<int32_t> large, Array<float> norms,
                Array<uint8_t> lengths, Array<float> length_norms, double norm_base, double norm_slope,
                py::object deleted)
        : Segment(passages, term_runs, run_windows, run_starts, run_frequency, places, frequencies, deleted),
          run_length_(run_length.data()), large_at_(large_at.data()), large_(large.data()), larges_(large.size()),
          norms_(norms.data()), lengths_(lengths.data()), norm_base_(norm_base), norm_slope_(norm_slope),
          bounds_(static_cast<size_t>(run_windows.size())) {
        if (run_length.size() != run_windows.size() || large_at.size() != larges_ ||
            norms.size() != windows() * kWindow || lengths.size() != norms.size() || length_norms.size() != kLong)
            throw std::invalid_argument("the postings' arrays do not fit together");
        for (const py::object& array : {py::object(run_length), py::object(large_at), py::object(large),
                                        py::object(norms), py::object(lengths)})
            kept_.push_back(array);
        for (int f = 0; f < kShares; ++f)
            for (int l = 0; l < kLong; ++l) shares_[f][l] = float(f) / (float(f) + length_norms.data()[l]);
        short_ = 8 * std::count(lengths_, lengths_ + passages, kLong) < passages;
    }

    // At least what any posting of the run contributes for a weight of 1, up to rounding. That of the largest frequency
    // in the shortest passage is far from the largest contribution of a long run, which is found at its first use.
    double bound(int64_t run) const {
        const int64_t begin = run_starts_[run], end = run_starts_[run + 1];
        if (end - begin < kLongRun) {
            if (run_most_[run] == kLarge) return 1.0;
            const double f = run_most_[run];
            return f / (f + norm_base_ + norm_slope_ * run_length_[run]);
        }
        float most = bounds_[size_t(run)].load(std::memory_order_relaxed);
        if (most == 0) {
            each(run_windows_[run], run, begin, end, 1.0f, [&](int, float value) { most = std::max(most, value); });
            bounds_[size_t(run)].store(most, std::memory_order_relaxed);
        }
        return most;
    }

    float contribution(int window, int64_t at, float weight) const {
        const float f = values_[at] == kLarge ? large(at) : float(values_[at]);
        return weight * (f / (f + norms(window)[places_[at]]));
    }

    // Calls `take` with place and contribution of the postings [at, end).
    template <class Take>
    void each(int window, int64_t run, int64_t at, int64_t end, float weight, Take take) const {
        if (short_) {
            const uint8_t* lengths = lengths_ + int64_t(window) * kWindow;
            for (; at < end; ++at) {
                const int place = places_[at], f = values_[at], l = lengths[place];
                take(place, f < kShares && l < kLong ? weight * shares_[f][l] : contribution(window, at, weight));
            }
            return;
        }
        float values[kBatch];
        while (at < end) {
            const int count = int(std::min<int64_t>(kBatch, end - at));
            saturated(places_ + at, values_ + at, count, norms(window), weight, values);
            for (int i = 0; i < count; ++i)
                take(places_[at + i], run_most_[run] == kLarge && values_[at + i] == kLarge
                                          ? contribution(window, at + i, weight) : values[i]);
            at += count;
        }
    }

  private:
    const float* norms(int window) const { return norms_ + int64_t(window) * kWindow; }

    float large(int64_t posting) const {
        const int64_t* found = std::lower_bound(large_at_, large_at_ + larges_, posting);
        return found < large_at_ + larges_ && *found == posting ? float(large_[found - large_at_]) : float(kLarge);
    }

    const int32_t* run_length_;
    const int64_t* large_at_;
    const int32_t* large_;
    int64_t larges_;
    const float* norms_;
    const uint8_t* lengths_;  // kLong for that and more
    float shares_[kShares][kLong + 1];
    bool short_;  // whether nearly all passages are
    double norm_base_, norm_slope_;
    mutable std::vector<std::atomic<float>> bounds_;  // of long runs, 0 until they are known
};

// weight * impact, both whole numbers up to 255: sums of no more than 255 of them are exact in float32.
class ImpactSegment : public Segment {
  public:
    using Segment::Segment;

    double bound(int64_t run) const { return run_most_[run]; }
    float contribution(int, int64_t at, float weight) const { return weight * float(values_[at]); }
    template <class Take>
    void each(int, int64_t, int64_t at, int64_t end, float weight, Take take) const {
        for (; at < end; ++at) take(places_[at], weight * float(values_[at]));
    }
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

int lowest(uint32_t mask) {
#if defined(__GNUC__)
    return __builtin_ctz(mask);
#else
    int bit = 0;
    while (!(mask >> bit & 1)) ++bit;
    return bit;
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

// First posting in [at, end) whose place is not below `place`, found by doubling steps.
int64_t advance(const uint16_t* places, int64_t at, int64_t end, int place) {
    if (at >= end || places[at] >= place) return at;
    int64_t step = 1;
    while (at + step < end && places[at + step] < place) {
        at += step;
        step *= 2;
    }
    return std::lower_bound(places + at + 1, places + std::min(at + step, end), place) - places;
}

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
    void add(const Kind& segment, int window, Run& run, int begin, int end);
    void take(const Kind& segment, int window, Run& run, int begin, int end, float cut);
    void collect(int begin, int end, float cut);
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
    for (int begin = 0, end; begin < kWindow; begin = end) {
        while (essential > 0 && cut(rest_[essential - 1]) >= 0) --essential;
        if (essential == 0) return;
        int64_t left = 0;
        size_t added = 0;
        for (; added < essential; ++added) left += runs[added].end - runs[added].at;
        if (left == 0) return;
        for (; added < count && runs[added].end - runs[added].at <= kCheap * left; ++added)
            left += runs[added].end - runs[added].at;
        end = left < kFew ? kWindow : std::min(begin + kPart, kWindow);

        if (added == 1) {
            take(segment, window, runs[0], begin, end, cut(rest_[added]));
        } else {
            for (size_t j = 0; j < added; ++j) add(segment, window, runs[j], begin, end);
            collect(begin, end, cut(rest_[added]));
        }
        for (size_t j = added; j < count && !candidates_.empty(); ++j)
            complete(segment, window, runs[j], cut(rest_[j]));
        offer(segment, int64_t(window) * kWindow, base);
    }
}

template <class Kind>
void Search<Kind>::add(const Kind& segment, int window, Run& run, int begin, int end) {
    const uint16_t* places = segment.places();
    // Where the term was only looked up before, postings of finished parts may be left.
    run.at = advance(places, run.at, run.end, begin);
    const int64_t stop = end == kWindow ? run.end : advance(places, run.at, run.end, end);
    float* sums = sums_.of.data();
    uint8_t* marked = sums_.marked.data();
    segment.each(window, run.number, run.at, stop, run.weight, [=](int place, float value) {
        sums[place] += value;
        marked[place / kBlock] = 1;
    });
    run.at = stop;
}

// The candidates of a run whose passages have no other sums.
template <class Kind>
void Search<Kind>::take(const Kind& segment, int window, Run& run, int begin, int end, float cut) {
    candidates_.clear();
    run.at = advance(segment.places(), run.at, run.end, begin);
    const int64_t stop = end == kWindow ? run.end : advance(segment.places(), run.at, run.end, end);
    segment.each(window, run.number, run.at, stop, run.weight, [&](int place, float value) {
        if (value > cut) candidates_.push_back({value, uint16_t(place)});
    });
    run.at = stop;
}

template <class Kind>
void Search<Kind>::collect(int begin, int end, float cut) {
    candidates_.clear();
    int32_t cut_bits = -1;  // every touched sum, 0 included
    if (cut >= 0) std::memcpy(&cut_bits, &cut, sizeof cut);
    uint8_t* marked = sums_.marked.data();
    for (int block = begin / kBlock; block < end / kBlock; ++block) {
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
    const uint16_t* places = segment.places();
    size_t kept = 0;
    for (Candidate candidate : candidates_) {
        if (candidate.score <= cut) continue;
        run.at = advance(places, run.at, run.end, candidate.place);
        if (run.at < run.end && places[run.at] == candidate.place)
            candidate.score += segment.contribution(window, run.at, run.weight);
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
    full_ = k_ + k_ / 4 + 8;
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
            const int64_t end = segment.run_starts()[run - windows + 1];
            const uint16_t* places = segment.places();
            const int64_t at =
                std::lower_bound(places + segment.run_starts()[run - windows], places + end, place) - places;
            if (at == end || places[at] != place) continue;
            sum += segment.contribution(window, at, weight[t]);
        }
        out[i] = std::signbit(sum) ? 0.0f : sum + constant;
    }
    return scores;
}

}  // namespace

PYBIND11_MODULE(_native, module) {
    module.doc() = "Kernels of BM25 and of learned sparse vectors; leanseek.indexing.sparse.kernel describes the interface.";
    py::class_<Bm25Segment>(module, "Bm25Segment")
        .def(py::init<int64_t, Array<int64_t>, Array<uint16_t>, Array<int64_t>, Array<uint8_t>, Array<int32_t>,
                      Array<uint16_t>, Array<uint8_t>, Array<int64_t>, Array<int32_t>, Array<float>, Array<uint8_t>,
                      Array<float>, double, double, py::object>());
    py::class_<ImpactSegment>(module, "ImpactSegment")
        .def(py::init<int64_t, Array<int64_t>, Array<uint16_t>, Array<int64_t>, Array<uint8_t>, Array<uint16_t>,
                      Array<uint8_t>, py::object>());
    module.def("search", &search<Bm25Segment>);
    module.def("search", &search<ImpactSegment>);
    module.def("score", &score<Bm25Segment>);
    module.def("score", &score<ImpactSegment>);
}
