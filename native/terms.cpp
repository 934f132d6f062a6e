// The terms of many texts as numbers, four bytes each: what a segment's postings are made of
// (leanseek/indexing/sparse/builder.py). A text is cut where its analyser cuts it (leanseek/text/words.py), and nearly
// every chunk has been seen before: a hash table of chunks has their terms. The analyser itself is asked for the
// others, and for those whose terms depend on their neighbours.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace py = pybind11;

namespace {

constexpr size_t kLongest = 40;            // bytes of a chunk in the table: longer ones are rarely seen twice
constexpr int32_t kContext = -1;           // in place of a count: the terms depend on the neighbours

uint64_t hash_of(const char* data, size_t size) {
    uint64_t hash = size * 0x9e3779b97f4a7c15u;
    while (size >= 8) {
        uint64_t word;
        std::memcpy(&word, data, 8);
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
        data += 8;
        size -= 8;
    }
    uint64_t word = 0;
    std::memcpy(&word, data, size);
    hash = (hash ^ word) * 0xc4ceb9fe1a85ec53u;
    return hash ^ (hash >> 29);
}

// Strings by number, and a value for each; open addressing over 32-bit numbers.
template <typename Value>
class Table {
  public:
    Table() : slots_(size_t(1) << 12, kNone) {}

    // The number of a string, or -1.
    int64_t find(const char* data, size_t size, uint64_t hash) const {
        for (size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
            if (slots_[at] == kNone) return -1;
            const Entry& entry = entries_[slots_[at]];
            if (entry.hash == hash && entry.size == size && std::memcmp(bytes_.data() + entry.start, data, size) == 0)
                return slots_[at];
        }
    }

    int64_t add(const char* data, size_t size, uint64_t hash, Value value) {
        if (2 * (entries_.size() + 1) > slots_.size()) grow();
        const auto number = uint32_t(entries_.size());
        entries_.push_back({hash, bytes_.size(), uint32_t(size), value});
        bytes_.append(data, size);
        place(number);
        return number;
    }

    void clear() {
        entries_.clear();
        bytes_.clear();
        std::fill(slots_.begin(), slots_.end(), kNone);
    }

    size_t size() const { return entries_.size(); }
    const Value& value(int64_t number) const { return entries_[size_t(number)].value; }
    std::string_view name(int64_t number) const {
        const Entry& entry = entries_[size_t(number)];
        return std::string_view(bytes_).substr(entry.start, entry.size);
    }

  private:
    static constexpr uint32_t kNone = UINT32_MAX;

    struct Entry {
        uint64_t hash;
        size_t start;
        uint32_t size;
        Value value;
    };

    void place(uint32_t number) {
        size_t at = entries_[number].hash & (slots_.size() - 1);
        while (slots_[at] != kNone) at = (at + 1) & (slots_.size() - 1);
        slots_[at] = number;
    }

    void grow() {
        slots_.assign(2 * slots_.size(), kNone);
        for (uint32_t number = 0; number < entries_.size(); ++number) place(number);
    }

    std::vector<uint32_t> slots_;
    std::vector<Entry> entries_;
    std::string bytes_;
};

struct Nothing {};

// What a chunk has: one term in place, several from `at` on in a list.
struct Terms {
    int32_t count;
    int32_t at;
};

struct Chunk {
    const char* data;
    size_t size;
};

// How many bytes of white space, as str.split knows it, are at a place of UTF-8; 0 where there is none.
size_t white_space(const unsigned char* at, const unsigned char* end) {
    if (*at < 0x80) return *at == ' ' || (*at >= 0x09 && *at <= 0x0d) || (*at >= 0x1c && *at <= 0x1f) ? 1 : 0;
    if (*at == 0xc2 && at + 1 < end) return at[1] == 0x85 || at[1] == 0xa0 ? 2 : 0;
    if (at + 2 >= end) return 0;
    const int code = (at[0] & 0x0f) << 12 | (at[1] & 0x3f) << 6 | (at[2] & 0x3f);
    if (at[0] == 0xe1) return code == 0x1680 ? 3 : 0;
    if (at[0] == 0xe2)
        return (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f
                   ? 3 : 0;
    return at[0] == 0xe3 && code == 0x3000 ? 3 : 0;
}

class TermNumbers {
  public:
    // `ascii`: the 128 characters of ASCII, with a space for those that texts of ASCII alone are cut at. `context`: the
    // chunks whose terms depend on their neighbours. `most`: distinct chunks in the table; past this it starts anew.
    TermNumbers(py::object analyzer, const std::string& ascii, const py::iterable& context, size_t most)
        : tokens_of_(analyzer.attr("tokens")), chunk_tokens_(analyzer.attr("chunk_tokens")), most_(most) {
        if (ascii.size() != 128) throw std::invalid_argument("ascii has 128 characters");
        for (size_t i = 0; i < 128; ++i) cuts_[i] = white_space(reinterpret_cast<const unsigned char*>(&ascii[i]), nullptr) != 0;
        for (const py::handle& chunk : context) context_.push_back(chunk.cast<std::string>());
    }

    // Takes the next text; returns how many terms it has.
    size_t add(const py::str& text) {
        const size_t before = numbers_.size();
        const bool ascii = PyUnicode_IS_ASCII(text.ptr());
        Py_ssize_t size = 0;
        const char* data = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
        if (data == nullptr) {
            // A lone surrogate, which UTF-8 has no bytes for.
            PyErr_Clear();
            number(tokens_of_(text), numbers_);
        } else {
            cut(data, size_t(size), ascii);
            for (size_t at = 0; at < chunks_.size(); ++at) add_chunk(at);
        }
        return numbers_.size() - before;
    }

    // Four bytes for each term of each text so far.
    py::array_t<int32_t> numbers() const { return py::array_t<int32_t>(py::ssize_t(numbers_.size()), numbers_.data()); }
    size_t size() const { return numbers_.size(); }

    // The terms in UTF-8, by number.
    py::list names() const {
        py::list names(terms_.size());
        for (size_t i = 0; i < terms_.size(); ++i) {
            const std::string_view name = terms_.name(int64_t(i));
            names[i] = py::bytes(name.data(), name.size());
        }
        return names;
    }

  private:
    void cut(const char* data, size_t size, bool ascii) {
        chunks_.clear();
        const char* const end = data + size;
        const auto cut_at = [&](const char* at) -> size_t {
            if (ascii) return cuts_[static_cast<unsigned char>(*at)];
            return white_space(reinterpret_cast<const unsigned char*>(at), reinterpret_cast<const unsigned char*>(end));
        };
        for (const char* at = data; at < end;) {
            if (const size_t space = cut_at(at)) {
                at += space;
                continue;
            }
            const char* const start = at;
            while (at < end && !cut_at(at)) ++at;
            chunks_.push_back({start, size_t(at - start)});
        }
    }

    void add_chunk(size_t at) {
        const Chunk& chunk = chunks_[at];
        const uint64_t hash = hash_of(chunk.data, chunk.size);
        int64_t known = memo_.find(chunk.data, chunk.size, hash);
        if (known < 0) {
            Terms terms{kContext, 0};
            std::vector<int32_t> found;
            if (!depends(chunk)) {
                py::list alone(1);
                alone[0] = py::str(chunk.data, chunk.size);
                number(chunk_tokens_(alone, 0), found);
                terms.count = int32_t(found.size());
            }
            if (chunk.size > kLongest) {
                numbers_.insert(numbers_.end(), found.begin(), found.end());
                return;
            }
            if (memo_.size() >= most_) {
                memo_.clear();
                several_.clear();
            }
            if (terms.count == 1) {
                terms.at = found[0];
            } else if (terms.count > 1) {
                terms.at = int32_t(several_.size());
                several_.insert(several_.end(), found.begin(), found.end());
            }
            known = memo_.add(chunk.data, chunk.size, hash, terms);
        }
        const Terms terms = memo_.value(known);
        if (terms.count == 1) {
            numbers_.push_back(terms.at);
        } else if (terms.count > 1) {
            numbers_.insert(numbers_.end(), several_.begin() + terms.at, several_.begin() + terms.at + terms.count);
        } else if (terms.count == kContext) {
            const size_t first = at == 0 ? 0 : at - 1, last = std::min(at + 2, chunks_.size());
            py::list around(last - first);
            for (size_t i = first; i < last; ++i) around[i - first] = py::str(chunks_[i].data, chunks_[i].size);
            number(chunk_tokens_(around, at - first), numbers_);
        }
    }

    bool depends(const Chunk& chunk) const {
        for (const std::string& one : context_)
            if (one.size() == chunk.size && std::memcmp(one.data(), chunk.data, chunk.size) == 0) return true;
        return false;
    }

    void number(const py::object& terms, std::vector<int32_t>& out) {
        for (const py::handle& term : terms) {
            Py_ssize_t size = 0;
            const char* data = PyUnicode_AsUTF8AndSize(term.ptr(), &size);
            if (data == nullptr) throw py::error_already_set();
            const uint64_t hash = hash_of(data, size_t(size));
            int64_t known = terms_.find(data, size_t(size), hash);
            if (known < 0) known = terms_.add(data, size_t(size), hash, {});
            out.push_back(int32_t(known));
        }
    }

    py::object tokens_of_, chunk_tokens_;
    size_t most_;
    bool cuts_[128];
    std::vector<std::string> context_;
    Table<Terms> memo_;
    std::vector<int32_t> several_;
    Table<Nothing> terms_;
    std::vector<Chunk> chunks_;
    std::vector<int32_t> numbers_;
};

}  // namespace

PYBIND11_MODULE(_terms, module) {
    module.doc() = "The terms of texts as numbers; see leanseek.indexing.sparse.builder.";
    py::class_<TermNumbers>(module, "TermNumbers")
        .def(py::init<py::object, const std::string&, const py::iterable&, size_t>(), py::arg("analyzer"), py::arg("ascii"),
             py::arg("context"), py::arg("most"))
        .def("add", &TermNumbers::add)
        .def("numbers", &TermNumbers::numbers)
        .def("names", &TermNumbers::names)
        .def("__len__", &TermNumbers::size);
}
