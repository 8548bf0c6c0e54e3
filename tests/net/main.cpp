// The main of this folder's test program.
#include <caf/test/unit_test_impl.hpp>
