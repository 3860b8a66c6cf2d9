// Threads of a CUDA grid on the CPU that wait for each other: each a context of its own, switched where it waits.
//
// The blocks of a cluster run side by side, each in a thread of the system's; the threads of a block take turns in it,
// from one barrier to the next, so that whoever reads what another has not yet written reads the wrong thing every time.
// Clusters follow each other. A wait that nobody can end is an error, which `ts_run` returns as 1.

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <ucontext.h>
#include <vector>

struct Index { int x; };
thread_local Index threadIdx, blockIdx;
Index blockDim, gridDim;

namespace {

constexpr std::size_t STACK = 32 << 10;

// Threads that have arrived, and how often all have.
struct Barrier {
  int arrived = 0;
  long phase = 0;
};

struct Warp {
  Barrier barrier;
  unsigned exited = 0;
  // What the lanes of a shuffle have given.
  unsigned char given[32][16];
};

struct Cluster {
  std::mutex mutex;
  std::condition_variable changed;
  Barrier barrier;
  // Threads that have not returned, and blocks none of whose threads can go on before the others.
  int live = 0, blocks = 0, stuck = 0;
  bool failed = false;
  // Of each block: a place in its shared memory, once it has begun.
  std::vector<std::atomic<char*>> anchors;

  void release_if_all() {
    if (live > 0 && barrier.arrived >= live) {
      barrier.arrived = 0;
      ++barrier.phase;
      stuck = 0;
      changed.notify_all();
    }
  }
};

struct Block {
  Cluster* cluster;
  int rank, number, threads;
  void (*body)(void*);
  void* arguments;
  ucontext_t scheduler;
  std::vector<ucontext_t> contexts;
  char* stacks;
  std::vector<char> done;
  // Of each thread: the phase of the cluster's barrier in which it arrived and has not yet waited, or -1.
  std::vector<long> arrived_in;
  std::vector<Warp> warps;
  Barrier barrier;
  int current = 0, live = 0;
  // How often anything happened that may let a waiting thread go on; and how many wait for the cluster.
  long events = 0;
  int waiting_for_cluster = 0;
};

thread_local Block* here;

void pause() { swapcontext(&here->contexts[here->current], &here->scheduler); }

void arrive(Barrier& barrier, int expected) {
  ++here->events;
  if (++barrier.arrived >= expected) {
    barrier.arrived = 0;
    ++barrier.phase;
  }
}

void wait(Barrier& barrier, int expected) {
  const long phase = barrier.phase;
  arrive(barrier, expected);
  while (barrier.phase == phase) pause();
}

void entry() {
  Block* block = here;
  block->body(block->arguments);
  const int me = block->current;
  block->done[me] = 1;
  block->warps[me / 32].exited |= 1u << me % 32;
  --block->live;
  ++block->events;
  // Those who are left need not wait for who has returned.
  if (block->live > 0 && block->barrier.arrived >= block->live) {
    block->barrier.arrived = 0;
    ++block->barrier.phase;
  }
  {
    Cluster& cluster = *block->cluster;
    std::lock_guard<std::mutex> lock(cluster.mutex);
    --cluster.live;
    if (block->arrived_in[me] == cluster.barrier.phase) --cluster.barrier.arrived;
    cluster.release_if_all();
  }
  swapcontext(&block->contexts[me], &block->scheduler);
}

void run_block(Block& block, bool backwards) {
  here = &block;
  blockIdx.x = block.number;
  Cluster& cluster = *block.cluster;
  for (int k = 0; k < block.threads; ++k) {
    ucontext_t& context = block.contexts[k];
    getcontext(&context);
    context.uc_stack.ss_sp = block.stacks + k * STACK;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
  }
  while (block.live > 0) {
    const long before = block.events;
    long phase;
    {
      std::lock_guard<std::mutex> lock(cluster.mutex);
      phase = cluster.barrier.phase;
    }
    block.waiting_for_cluster = 0;
    for (int k = 0; k < block.threads; ++k) {
      const int next = backwards ? block.threads - 1 - k : k;
      if (block.done[next]) continue;
      block.current = next;
      threadIdx.x = next;
      swapcontext(&block.scheduler, &block.contexts[next]);
    }
    if (block.events != before || block.live == 0) continue;
    std::unique_lock<std::mutex> lock(cluster.mutex);
    if (block.waiting_for_cluster == 0) cluster.failed = true;
    if (cluster.barrier.phase == phase && ++cluster.stuck == cluster.blocks) cluster.failed = true;
    if (cluster.failed) cluster.changed.notify_all();
    cluster.changed.wait(lock, [&] { return cluster.failed || cluster.barrier.phase != phase; });
    if (cluster.failed) return;
  }
  std::lock_guard<std::mutex> lock(cluster.mutex);
  // A block that is done waits for nobody: the others may be stuck without it.
  if (--cluster.blocks > 0 && cluster.stuck == cluster.blocks) {
    cluster.failed = true;
    cluster.changed.notify_all();
  }
}

}  // namespace

extern "C" {

void ts_syncthreads() { wait(here->barrier, here->live); }

void ts_syncwarp(unsigned mask) {
  const int lane = here->current % 32;
  Warp& warp = here->warps[here->current / 32];
  // A lane that is not named, or has returned, never comes: the wait does not end, which is an error.
  if (!(mask >> lane & 1) || (warp.exited & mask)) {
    for (;;) pause();
  }
  wait(warp.barrier, __builtin_popcount(mask));
}

// The lanes of `mask` exchange `size` bytes: each gets those of lane `from`, which must be one of them.
void ts_exchange(unsigned mask, void* value, int size, int from) {
  Warp& warp = here->warps[here->current / 32];
  std::memcpy(warp.given[here->current % 32], value, size);
  ts_syncwarp(mask >> from & 1 ? mask : 0);
  std::memcpy(value, warp.given[from], size);
  ts_syncwarp(mask);
}

// Arriving and waiting alternate: anything else never ends.
void ts_cluster_arrive() {
  while (here->arrived_in[here->current] >= 0) pause();
  Cluster& cluster = *here->cluster;
  std::lock_guard<std::mutex> lock(cluster.mutex);
  here->arrived_in[here->current] = cluster.barrier.phase;
  ++cluster.barrier.arrived;
  ++here->events;
  cluster.release_if_all();
}

void ts_cluster_wait() {
  Cluster& cluster = *here->cluster;
  const long mine = here->arrived_in[here->current];
  while (mine < 0) pause();
  for (;;) {
    {
      std::lock_guard<std::mutex> lock(cluster.mutex);
      if (cluster.barrier.phase != mine) {
        here->arrived_in[here->current] = -1;
        ++here->events;
        return;
      }
    }
    ++here->waiting_for_cluster;
    pause();
  }
}

int ts_cluster_rank() { return here->rank; }

void ts_anchor(char* mine) { here->cluster->anchors[here->rank] = mine; }

// Return that place in another block's shared memory; one that has not begun has none, which ends the process.
char* ts_other(char* mine, int rank) {
  char* other = here->cluster->anchors[rank];
  if (!other) std::abort();
  return other;
}

// Run `body` in every thread of the grid; the odd clusters come last.
int ts_run(void (*body)(void*), void* arguments, int blocks, int threads, int size, int backwards) {
  if (blocks % size) return 1;
  blockDim.x = threads;
  gridDim.x = blocks;
  const std::size_t each = threads * STACK;
  const std::unique_ptr<char[]> stacks(new char[size * each]);
  for (int turn = 0; turn < 2; ++turn) {
    for (int first = turn * size; first < blocks; first += 2 * size) {
      Cluster cluster;
      cluster.anchors = std::vector<std::atomic<char*>>(size);
      cluster.blocks = size;
      cluster.live = size * threads;
      std::vector<Block> made(size);
      for (int rank = 0; rank < size; ++rank) {
        Block& block = made[rank];
        block.cluster = &cluster;
        block.rank = rank;
        block.number = first + rank;
        block.threads = block.live = threads;
        block.body = body;
        block.arguments = arguments;
        block.contexts.resize(threads);
        block.stacks = stacks.get() + rank * each;
        block.done.assign(threads, 0);
        block.arrived_in.assign(threads, -1);
        block.warps.resize((threads + 31) / 32);
      }
      if (size == 1) {
        run_block(made[0], backwards);
      } else {
        std::vector<std::thread> workers;
        for (Block& block : made) workers.emplace_back([&block, backwards] { run_block(block, backwards); });
        for (std::thread& worker : workers) worker.join();
      }
      if (cluster.failed) return 1;
    }
  }
  return 0;
}

}  // extern "C"
