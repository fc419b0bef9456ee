#include "CHash.h"
typedef int CHash_not_empty;
