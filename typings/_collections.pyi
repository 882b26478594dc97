# The C half of collections, which costs nothing to import; typeshed does not describe it.
from collections import OrderedDict as OrderedDict
from collections import defaultdict as defaultdict
from collections import deque as deque
