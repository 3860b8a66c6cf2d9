from tinyseq.compiler.passes.simplify import simplify
from tinyseq.compiler.passes.prune import prune
from tinyseq.compiler.passes.expand import expand
from tinyseq.compiler.passes.hoist import hoist
from tinyseq.compiler.passes.merge import merge
from tinyseq.compiler.passes.pack import pack
from tinyseq.compiler.passes.accumulate import accumulate
from tinyseq.compiler.passes.distribute import distribute
FORWARD=[("simplify",simplify),("expand",expand),("hoist",hoist),("merge",merge),("pack",pack),("simplify",simplify),("hoist",hoist),("distribute",distribute),("simplify",simplify),("prune",prune)]
BACKWARD=[("simplify",simplify),("prune",prune),("accumulate",accumulate),("hoist",hoist),("prune",prune),("distribute",distribute),("simplify",simplify),("prune",prune),("simplify",simplify)]
