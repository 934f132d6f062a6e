// An FM-index over the tokens of texts: how often an n-gram occurs, where, and which tokens follow it, in time that
// depends on its length and not on that of the texts; leanseek/indexing/ngrams/fm_index.py describes the arrays.
//
// Ferragina and Manzini: "Opportunistic data structures with applications" (FOCS 2000). The suffix array is sorted by
// induction (Nong, Zhang and Chan: "Linear suffix array construction by almost pure induced-sorting", DCC 2009), its
// Burrows-Wheeler transform stands in a wavelet matrix (Claude, Navarro and Ordóñez: "The wavelet matrix", 2015).

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

namespace py = pybind11;

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

constexpr int64_t kWords = 8;                  // of a block: how many ones stand before it, then its bits
constexpr int64_t kBits = 64 * (kWords - 1);   // so that a rank reads one line of the cache
constexpr int64_t kMost = std::numeric_limits<int32_t>::max() - 1;

int64_t blocks_of(int64_t size) { return size / kBits + 1; }

int64_t ones(uint64_t word) {
    word -= (word >> 1) & 0x5555555555555555u;
    word = (word & 0x3333333333333333u) + ((word >> 2) & 0x3333333333333333u);
    return int64_t((((word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u) >> 56);
}

void set_bit(uint64_t* blocks, int64_t at) {
    blocks[at / kBits * kWords + 1 + at % kBits / 64] |= uint64_t(1) << (at % kBits % 64);
}

bool bit(const uint64_t* blocks, int64_t at) {
    return blocks[at / kBits * kWords + 1 + at % kBits / 64] >> (at % kBits % 64) & 1;
}

// How many of the bits before a place are set.
int64_t rank(const uint64_t* blocks, int64_t at) {
    const uint64_t* block = blocks + at / kBits * kWords;
    const int64_t inside = at % kBits;
    int64_t count = int64_t(block[0]);
    for (int64_t word = 0; word < inside / 64; ++word) count += ones(block[1 + word]);
    return count + ones(block[1 + inside / 64] & ((uint64_t(1) << inside % 64) - 1));
}

void count_ones(uint64_t* blocks, int64_t size) {
    uint64_t before = 0;
    for (int64_t block = 0; block < blocks_of(size); ++block) {
        blocks[block * kWords] = before;
        for (int64_t word = 1; word < kWords; ++word) before += uint64_t(ones(blocks[block * kWords + word]));
    }
}

// Where each symbol's suffixes begin (or end) in the suffix array.
std::vector<int32_t> buckets_of(const std::vector<int32_t>& sizes, bool ends) {
    std::vector<int32_t> found(sizes.size());
    int32_t sum = 0;
    for (size_t symbol = 0; symbol < sizes.size(); ++symbol) {
        found[symbol] = ends ? sum + sizes[symbol] : sum;
        sum += sizes[symbol];
    }
    return found;
}

// From the suffixes in `sorted` that begin a run (leftmost S-type) the order of all others follows: those of L type
// from left to right, then those of S type from right to left.
void induce(const std::vector<int32_t>& text, const std::vector<bool>& small, const std::vector<int32_t>& sizes,
            std::vector<int32_t>& sorted) {
    std::vector<int32_t> next = buckets_of(sizes, false);
    for (size_t i = 0; i < sorted.size(); ++i) {
        const int32_t before = sorted[i] - 1;
        if (sorted[i] > 0 && !small[before]) sorted[next[text[before]]++] = before;
    }
    next = buckets_of(sizes, true);
    for (size_t i = sorted.size(); i-- > 0;) {
        const int32_t before = sorted[i] - 1;
        if (sorted[i] > 0 && small[before]) sorted[--next[text[before]]] = before;
    }
}

// The suffix array of a text whose last symbol is its only 0; its symbols are below `symbols`.
std::vector<int32_t> suffix_array(const std::vector<int32_t>& text, int32_t symbols) {
    const int32_t size = int32_t(text.size());
    std::vector<int32_t> sorted(size, -1);
    if (size == 1) {
        sorted[0] = 0;
        return sorted;
    }
    std::vector<bool> small(size);  // S type: smaller than the suffix behind it
    small[size - 1] = true;
    for (int32_t i = size - 2; i >= 0; --i)
        small[i] = text[i] < text[i + 1] || (text[i] == text[i + 1] && small[i + 1]);
    const auto begins = [&](int32_t i) { return i > 0 && small[i] && !small[i - 1]; };
    std::vector<int32_t> sizes(symbols);
    for (int32_t symbol : text) ++sizes[symbol];

    std::vector<int32_t> ends = buckets_of(sizes, true);
    for (int32_t i = 1; i < size; ++i)
        if (begins(i)) sorted[--ends[text[i]]] = i;
    induce(text, small, sizes, sorted);

    // The substrings between two begins are in order now: equal ones get one name.
    std::vector<int32_t> starts;
    for (int32_t i = 1; i < size; ++i)
        if (begins(i)) starts.push_back(i);
    const auto equal = [&](int32_t one, int32_t other) {
        for (int32_t i = 0;; ++i) {
            if (text[one + i] != text[other + i] || small[one + i] != small[other + i]) return false;
            if (i > 0 && (begins(one + i) || begins(other + i))) return begins(one + i) && begins(other + i);
        }
    };
    std::vector<int32_t> names(size, -1);
    int32_t name = -1, last = -1;
    for (int32_t start : sorted) {
        if (!begins(start)) continue;
        // The last begin is the final 0, which equals none.
        if (last < 0 || last == size - 1 || start == size - 1 || !equal(last, start)) ++name;
        names[start] = name;
        last = start;
    }
    std::vector<int32_t> reduced;
    reduced.reserve(starts.size());
    for (int32_t start : starts) reduced.push_back(names[start]);
    std::vector<int32_t>().swap(names);
    std::vector<int32_t> order;
    if (name + 1 < int32_t(reduced.size())) {
        order = suffix_array(reduced, name + 1);
    } else {
        order.resize(reduced.size());
        for (size_t i = 0; i < reduced.size(); ++i) order[reduced[i]] = int32_t(i);
    }
    std::fill(sorted.begin(), sorted.end(), -1);
    ends = buckets_of(sizes, true);
    for (size_t i = order.size(); i-- > 0;) {
        const int32_t start = starts[order[i]];
        sorted[--ends[text[start]]] = start;
    }
    induce(text, small, sizes, sorted);
    return sorted;
}

// The arrays of an index of symbols from 1, see `FMIndex`.
py::tuple build(const Array<int32_t>& symbols, int levels, int64_t rate) {
    if (symbols.size() > kMost) throw std::length_error("too many tokens");
    std::vector<int32_t> text(symbols.data(), symbols.data() + symbols.size());
    text.push_back(0);
    const int64_t size = int64_t(text.size());
    const int32_t alphabet = *std::max_element(text.begin(), text.end()) + 1;
    if (*std::min_element(text.begin(), text.end() - 1) < (size > 1 ? 1 : 0) || alphabet > int64_t(1) << levels || rate < 1)
        throw std::out_of_range("symbols outside the alphabet");
    const int64_t blocks = blocks_of(size);
    py::array_t<uint64_t> bits(levels * blocks * kWords), marks(blocks * kWords);
    py::array_t<int64_t> zeros(levels);
    py::array_t<int32_t> shifts(alphabet), samples((size - 1) / rate + 1);
    uint64_t* bit_blocks = bits.mutable_data();
    uint64_t* mark_blocks = marks.mutable_data();
    int64_t* zero = zeros.mutable_data();
    int32_t* shift = shifts.mutable_data();
    int32_t* sample = samples.mutable_data();
    {
        py::gil_scoped_release released;
        std::fill(bit_blocks, bit_blocks + levels * blocks * kWords, 0);
        std::fill(mark_blocks, mark_blocks + blocks * kWords, 0);
        std::vector<int32_t> transform(size);
        {
            const std::vector<int32_t> sorted = suffix_array(text, alphabet);
            for (int64_t i = 0; i < size; ++i) {
                transform[i] = text[sorted[i] > 0 ? sorted[i] - 1 : size - 1];
                if (sorted[i] % rate == 0) {
                    set_bit(mark_blocks, i);
                    *sample++ = int32_t(sorted[i] / rate);
                }
            }
        }
        count_ones(mark_blocks, size);
        std::vector<int32_t> first(alphabet);  // suffixes that begin with a smaller symbol
        for (int32_t symbol : text)
            if (symbol + 1 < alphabet) ++first[symbol + 1];
        for (int32_t symbol = 1; symbol < alphabet; ++symbol) first[symbol] += first[symbol - 1];
        text.clear();
        std::vector<int32_t> rest(size);
        for (int level = 0; level < levels; ++level) {
            uint64_t* here = bit_blocks + level * blocks * kWords;
            const int32_t mask = int32_t(1) << (levels - 1 - level);
            int64_t low = 0, high = 0;
            for (int64_t i = 0; i < size; ++i) {
                if (transform[i] & mask) {
                    set_bit(here, i);
                    rest[high++] = transform[i];
                } else {
                    transform[low++] = transform[i];
                }
            }
            std::copy(rest.begin(), rest.begin() + high, transform.begin() + low);
            zero[level] = low;
            count_ones(here, size);
        }
        // Below the last level the symbols stand together, those that the bits end on 0 first.
        std::fill(shift, shift + alphabet, 0);
        for (int64_t i = size; i-- > 0;) shift[transform[i]] = int32_t(first[transform[i]] - i);
    }
    return py::make_tuple(bits, zeros, shifts, marks, samples);
}

class Rows {
  public:
    Rows(Array<uint64_t> bits, Array<int64_t> zeros, Array<int32_t> shifts, Array<uint64_t> marks,
         Array<int32_t> samples, int64_t size, int64_t rate)
        : bits_(std::move(bits)), zeros_(std::move(zeros)), shifts_(std::move(shifts)), marks_(std::move(marks)),
          samples_(std::move(samples)), size_(size), rate_(rate), stride_(blocks_of(size) * kWords) {
        if (size < 1 || rate < 1 || bits_.size() != zeros_.size() * stride_ || marks_.size() != stride_ ||
            samples_.size() != (size - 1) / rate + 1 || shifts_.size() < 1)
            throw std::out_of_range("arrays that do not fit together");
    }

    // The rows of what goes on with a symbol, of rows [low, high).
    std::pair<int64_t, int64_t> extend(int64_t low, int64_t high, int64_t symbol) const {
        if (symbol < 0 || symbol >= shifts_.size()) return {0, 0};
        check(low, high);
        for (int64_t level = 0; level < zeros_.size() && low < high; ++level) {
            low = down(level, low, symbol >> (zeros_.size() - 1 - level) & 1);
            high = down(level, high, symbol >> (zeros_.size() - 1 - level) & 1);
        }
        if (low >= high) return {0, 0};
        return {within(low + shifts_.data()[symbol]), within(high + shifts_.data()[symbol])};
    }

    // The symbols that rows [low, high) go on with, ascending, and how many with each.
    py::tuple next(int64_t low, int64_t high) const {
        check(low, high);
        std::vector<int32_t> symbols;
        std::vector<int64_t> counts;
        {
            py::gil_scoped_release released;
            collect(low, high, 0, 0, symbols, counts);
        }
        return py::make_tuple(py::array_t<int32_t>(symbols.size(), symbols.data()),
                              py::array_t<int64_t>(counts.size(), counts.data()));
    }

    // Where in the text the suffixes of rows [low, high) begin.
    py::array_t<int64_t> locate(int64_t low, int64_t high) const {
        check(low, high);
        py::array_t<int64_t> places(high - low);
        int64_t* place = places.mutable_data();
        py::gil_scoped_release released;
        for (int64_t row = low; row < high; ++row) {
            int64_t at = row, steps = 0;
            for (; !bit(marks_.data(), at); ++steps) {
                if (steps == rate_) throw std::out_of_range("a row without a sample");
                at = before(at).second;
            }
            const int64_t sample = rank(marks_.data(), at);
            if (sample >= samples_.size()) throw std::out_of_range("a row without a sample");
            *place++ = samples_.data()[sample] * rate_ + steps;
        }
        return places;
    }

    // The whole text, without its final 0.
    py::array_t<int32_t> text() const {
        py::array_t<int32_t> found(size_ - 1);
        int32_t* symbols = found.mutable_data();
        py::gil_scoped_release released;
        const std::vector<int32_t> transform = transformed();
        std::vector<int64_t> next(shifts_.size() + 1);  // where the suffixes of each symbol begin
        for (int32_t symbol : transform) {
            if (symbol >= shifts_.size()) throw std::out_of_range("arrays that do not fit together");
            ++next[symbol + 1];
        }
        for (int64_t symbol = 1; symbol <= shifts_.size(); ++symbol) next[symbol] += next[symbol - 1];
        std::vector<int32_t> longer(size_);
        for (int64_t row = 0; row < size_; ++row) longer[row] = int32_t(next[transform[row]]++);
        int64_t row = 0;  // of the suffix that is the final 0 alone
        for (int64_t i = size_ - 1; i-- > 0; row = longer[row]) symbols[i] = transform[row];
        return found;
    }

  private:
    void check(int64_t low, int64_t high) const {
        if (low < 0 || high < low || high > size_) throw std::out_of_range("no such rows");
    }

    // Whatever the files hold, nothing outside of them is read.
    int64_t within(int64_t row) const {
        if (row < 0 || row > size_) throw std::out_of_range("arrays that do not fit together");
        return row;
    }

    int64_t down(int64_t level, int64_t at, bool one) const {
        const int64_t before = rank(bits_.data() + level * stride_, at);
        return within(one ? zeros_.data()[level] + before : at - before);
    }

    // The symbols before all rows' suffixes: read from the last level up, which reads and writes in order.
    std::vector<int32_t> transformed() const {
        std::vector<int32_t> below(size_), above(size_);
        for (int64_t level = zeros_.size(); level-- > 0; below.swap(above)) {
            const uint64_t* blocks = bits_.data() + level * stride_;
            int64_t low = 0, high = within(zeros_.data()[level]);
            const int32_t one = int32_t(1) << (zeros_.size() - 1 - level);
            for (int64_t i = 0; i < size_; ++i) {
                const bool set = bit(blocks, i);
                int64_t& from = set ? high : low;
                if (from >= size_) throw std::out_of_range("arrays that do not fit together");
                above[i] = below[from++] | (set ? one : 0);
            }
        }
        return below;
    }

    // The symbol before a row's suffix, and the row of that longer suffix.
    std::pair<int32_t, int64_t> before(int64_t row) const {
        int64_t symbol = 0;
        for (int64_t level = 0; level < zeros_.size(); ++level) {
            if (row >= size_) throw std::out_of_range("arrays that do not fit together");
            const bool one = bit(bits_.data() + level * stride_, row);
            row = down(level, row, one);
            symbol = symbol << 1 | int64_t(one);
        }
        if (symbol >= shifts_.size()) throw std::out_of_range("arrays that do not fit together");
        row += shifts_.data()[symbol];
        if (row < 0 || row >= size_) throw std::out_of_range("arrays that do not fit together");
        return {int32_t(symbol), row};
    }

    void collect(int64_t low, int64_t high, int64_t level, int64_t symbol, std::vector<int32_t>& symbols,
                 std::vector<int64_t>& counts) const {
        if (low >= high) return;
        if (level == zeros_.size()) {
            symbols.push_back(int32_t(symbol));
            counts.push_back(high - low);
            return;
        }
        collect(down(level, low, false), down(level, high, false), level + 1, symbol << 1, symbols, counts);
        collect(down(level, low, true), down(level, high, true), level + 1, symbol << 1 | 1, symbols, counts);
    }

    Array<uint64_t> bits_;
    Array<int64_t> zeros_;
    Array<int32_t> shifts_;
    Array<uint64_t> marks_;
    Array<int32_t> samples_;
    int64_t size_, rate_, stride_;
};

}  // namespace

PYBIND11_MODULE(_ngrams, module) {
    module.doc() = "An FM-index over tokens; leanseek.indexing.ngrams.fm_index describes the interface.";
    module.def("build", &build);
    py::class_<Rows>(module, "Rows")
        .def(py::init<Array<uint64_t>, Array<int64_t>, Array<int32_t>, Array<uint64_t>, Array<int32_t>, int64_t,
                      int64_t>())
        .def("extend", &Rows::extend)
        .def("next", &Rows::next)
        .def("locate", &Rows::locate)
        .def("text", &Rows::text);
}
