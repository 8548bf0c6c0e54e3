// The main of every test program: CAF's own, without its 30 s watchdog (ctest has the time limits).
#define CAF_TEST_NO_MAIN
#include <caf/test/unit_test_impl.hpp>

int main(int argc, char** argv) {
  caf::test::engine::max_runtime(0);
  return caf::test::main(argc, argv);
}
