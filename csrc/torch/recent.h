// What was made lately, found again by what it was made from.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace convlayers {

constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;  // bits without a pattern: of the golden ratio

// Takes a word into a state of 64 bits; of two words, or of two states, that differ, so do the results.
inline uint64_t mixed(uint64_t state, uint64_t word) {
  state ^= word;
  return (state << 29 | state >> 35) * kOdd;
}

// Values of at most so many bytes together. Safe to share between threads.
//
// Where there is no more room, values go that were not asked for in the last `patience` questions, the oldest first; if that
// is not enough, the new value is not kept. So a cycle of more values than there is room for keeps those that fit, where
// dropping the least recently used would find none of them again.
template <size_t Words, class Value>
class Recent {
 public:
  using Key = std::array<int64_t, Words>;

  Recent(int64_t bytes, uint64_t patience) : limit_(bytes), patience_(patience) {}

  // The value that was kept with this key, or null.
  std::shared_ptr<Value> find(const Key& key) {
    const uint64_t hash = hashed(key);
    const std::lock_guard lock(mutex_);
    ++questions_;
    for (size_t i = 0; i < hashes_.size(); ++i)
      if (hashes_[i] == hash && entries_[i].key == key) {
        entries_[i].asked = questions_;
        return entries_[i].value;
      }
    return nullptr;
  }

  // Whether a value of so many bytes would be kept now.
  bool has_room(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    return bytes <= limit_ - total_ + forgettable();
  }

  void keep(const Key& key, std::shared_ptr<Value> value, int64_t bytes) {
    const uint64_t hash = hashed(key);
    const std::lock_guard lock(mutex_);
    if (bytes > limit_ - total_ + forgettable()) return;
    for (size_t i = 0; i < hashes_.size(); ++i)
      if (hashes_[i] == hash && entries_[i].key == key) return;  // another thread was faster
    while (total_ + bytes > limit_) forget(oldest());
    hashes_.push_back(hash);
    entries_.push_back({key, std::move(value), bytes, questions_});
    total_ += bytes;
  }

  // Bounds the values together to so many bytes, from now on; returns the bound until now.
  int64_t bound(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    std::swap(bytes, limit_);
    while (total_ > limit_) forget(oldest());
    return bytes;
  }

  int64_t bytes() {
    const std::lock_guard lock(mutex_);
    return total_;
  }

 private:
  struct Entry {
    Key key;
    std::shared_ptr<Value> value;
    int64_t bytes;
    uint64_t asked;  // the last question that it answered
  };

  static uint64_t hashed(const Key& key) {
    uint64_t state = 0;
    for (int64_t word : key) state = mixed(state, static_cast<uint64_t>(word));
    return state;
  }

  size_t oldest() const {
    const auto older = [](const Entry& a, const Entry& b) { return a.asked < b.asked; };
    return static_cast<size_t>(std::min_element(entries_.begin(), entries_.end(), older) - entries_.begin());
  }

  int64_t forgettable() const {
    int64_t bytes = 0;
    for (const Entry& e : entries_)
      if (e.asked + patience_ < questions_) bytes += e.bytes;
    return bytes;
  }

  void forget(size_t i) {
    total_ -= entries_[i].bytes;
    std::swap(entries_[i], entries_.back());
    std::swap(hashes_[i], hashes_.back());
    entries_.pop_back();
    hashes_.pop_back();
  }

  std::mutex mutex_;
  std::vector<uint64_t> hashes_;  // beside each other: what a question reads
  std::vector<Entry> entries_;
  int64_t limit_, total_ = 0;
  uint64_t patience_, questions_ = 0;
};

}  // namespace convlayers
