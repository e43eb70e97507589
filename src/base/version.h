// The one place that says which nidus this is.
#pragma once

#define NIDUS_VERSION "0.1.0"
