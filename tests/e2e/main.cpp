// The main of every end-to-end test program.
#include <caf/test/unit_test_impl.hpp>
