#include "net/heap_trim.hpp"

#include <malloc.h>
#include <sys/resource.h>

namespace harp::net {

namespace {

std::chrono::microseconds cpu_so_far() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return std::chrono::seconds{used.ru_utime.tv_sec + used.ru_stime.tv_sec}
         + std::chrono::microseconds{used.ru_utime.tv_usec + used.ru_stime.tv_usec};
}

} // namespace

bool calm_watch::look(std::chrono::microseconds cpu) {
  const bool calm = cpu - last_ <= trim_calm_cpu;
  last_ = cpu;
  calm_ = calm ? calm_ + 1 : 0;
  if (calm_ < trim_calm_looks || cpu - trimmed_at_ < trim_worth_cpu)
    return false;
  trimmed_at_ = cpu;
  return true;
}

heap_trimmer::~heap_trimmer() {
  if (worker_.joinable())
    worker_.join();
}

void heap_trimmer::look() {
  if (!watch_.look(cpu_so_far()))
    return;
  if (worker_.joinable()) // of an earlier burst, long done
    worker_.join();
  worker_ = std::thread{[] { ::malloc_trim(0); }};
}

} // namespace harp::net
