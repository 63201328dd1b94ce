// What this machine's processor can do, as its system lets it.
#pragma once

#include "convolution.hpp"

namespace whs {

bool machine_has(Instructions instructions);

} // namespace whs
