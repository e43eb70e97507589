// The database's schema: a list of steps, each of which brings a database from one version to the next. Steps are never
// changed once released; a new setting is a new step.
#pragma once

extern const char *const schema_steps[]; // NULL past the last; user_version counts those that were done
