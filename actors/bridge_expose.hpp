// `harp expose`: Harp as a frp client, until a signal ends it.
#pragma once

#include "web/expose_options.hpp"

namespace harp {

/// Returns the exit status: 0 after a signal, 1 when the options cannot be used.
int run_expose(const web::expose_options& options);

} // namespace harp
