#include "CTree.h"
typedef int CTree_not_empty;
