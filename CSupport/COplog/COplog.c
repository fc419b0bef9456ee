#include "COplog.h"
typedef int COplog_not_empty;
