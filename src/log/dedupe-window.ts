/**
 * The ids of one stream that are remembered: exactly the last `count` of them that are no older than `timeMs`, by
 * the ingest times of their commits. What is remembered is therefore a function of the log alone, the same after a
 * restart as before it.
 *
 * State: a ring of entries in the order of the log, in chunks that come and go, and an open-addressing index from
 * fingerprint to place. A place is a number that only grows; the index keeps its low 32 bits. An entry is seven
 * words: four of the id's fingerprint, two of the content's, and the low word of the ingest time in ms. The rest of
 * the time is kept once for a chunk, and again where 49 days passed between two entries of a chunk.
 *
 *     #start        #tail                     #durable.head      #head
 *       | evicted, but |  remembered               | of commits that    |
 *       | not for sure |                           | are not durable yet|
 *
 * Adding and evicting move `#head` and `#tail` at once, so that the next request sees them; the index and the ring
 * let go of evicted entries only when the commit that evicted them is durable. So `rollBack` restores the last
 * durable state exactly, by moving the two ends back.
 *
 * The index is cells of two words, [tag, place]. The tag is the fingerprint's first word with its lowest bit set (an
 * empty cell has 0) and its top bits say where probing begins. So neither a miss, nor a deletion (which shifts
 * entries back instead of leaving tombstones), nor growing (which reads and writes in order) looks into the ring.
 */

import { assert, must } from '../std/assert.ts'

export const ENTRY_WORDS = 7
const CONTENT_WORD = 4
const TIME_WORD = 6
const CHUNK_ENTRIES = 1 << 14
const CHUNK_WORDS = CHUNK_ENTRIES * ENTRY_WORDS
const LOAD_MAX = 0.7
const BLOCK_ENTRIES = 256

export interface WindowBounds {
  readonly timeMs: number
  readonly count: number
}

/** Both ends of a window, at the end of a commit. */
export interface WindowMark {
  readonly head: number
  readonly tail: number
}

/** Entries one after the other, and the whole ingest time of the first; their times span less than 2^32 ms. */
export interface EntryPiece {
  readonly timeMs: number
  readonly words: Int32Array
}

interface Chunk {
  readonly words: Int32Array
  /** Whole ingest times, each from a slot on. */
  times: { readonly slot: number; readonly timeMs: number }[]
}

export class DedupeWindow {
  #bounds: WindowBounds
  readonly #chunks = new Map<number, Chunk>()
  #spare: Chunk | undefined
  #start = 0
  #tail = 0
  #head = 0
  #durable: WindowMark = { head: 0, tail: 0 }
  #shift = 32 - 10
  #cells = new Int32Array(2 << 10)
  #used = 0
  /** Keeps the loads of `touch` from being optimised away. */
  readonly #touched = new Int32Array(1)

  constructor(bounds: WindowBounds) {
    this.#bounds = bounds
  }

  get head(): number {
    return this.#head
  }

  get tail(): number {
    return this.#tail
  }

  /** First place whose entry is still held. */
  get start(): number {
    return this.#start
  }

  get size(): number {
    return this.#head - this.#tail
  }

  /** From the next commit on; what was let go does not come back. */
  setBounds(bounds: WindowBounds): void {
    this.#bounds = bounds
  }

  mark(): WindowMark {
    return { head: this.#head, tail: this.#tail }
  }

  /** Evicts what is too old at the time of the commit that begins. */
  expire(timeMs: number): void {
    const oldest = timeMs - this.#bounds.timeMs
    while (this.#tail < this.#head && this.#timeOf(this.#tail) < oldest) {
      const next = Math.min(this.#head, this.#tail - (this.#tail % CHUNK_ENTRIES) + CHUNK_ENTRIES)
      this.#tail = this.#timeOf(next - 1) < oldest ? next : this.#tail + 1
    }
  }

  /**
   * Brings the index cells of these fingerprints (four words each) into the processor's cache, before they are
   * claimed one after the other: loads that do not depend on each other overlap.
   */
  touch(words: Int32Array, count: number): void {
    const cells = this.#cells
    const shift = this.#shift
    let sum = 0
    for (let i = 0; i < 4 * count; i += 4) sum ^= cells[(words[i]! >>> shift) << 1]!
    this.#touched[0] = sum
  }

  /**
   * The place of the remembered entry with the fingerprint at `words[at]`, or -1 after adding it, as the newest, at
   * `timeMs`; its place is then `head - 1` and its content is to be set.
   */
  claim(words: Int32Array, at: number, timeMs: number): number {
    if (this.#used >= LOAD_MAX * (this.#cells.length / 2)) this.#grow()
    const cells = this.#cells
    const wrap = cells.length - 1
    const tag = words[at]! | 1
    let cell = (tag >>> this.#shift) << 1
    for (; cells[cell] !== 0; cell = (cell + 2) & wrap) {
      if (cells[cell] !== tag) continue
      const place = this.#placeOf(cells[cell + 1]!)
      if (place >= this.#tail && this.#holds(place, words, at)) return place
    }
    cells[cell] = tag
    cells[cell + 1] = this.#head | 0
    this.#used++
    this.#push(words, at, timeMs)
    return -1
  }

  setContent(place: number, words: Int32Array): void {
    const chunk = this.#chunkOf(place).words
    const at = (place % CHUNK_ENTRIES) * ENTRY_WORDS + CONTENT_WORD
    chunk[at] = words[0]!
    chunk[at + 1] = words[1]!
  }

  hasContent(place: number, words: Int32Array): boolean {
    const chunk = this.#chunkOf(place).words
    const at = (place % CHUNK_ENTRIES) * ENTRY_WORDS + CONTENT_WORD
    return chunk[at] === words[0] && chunk[at + 1] === words[1]
  }

  /** The commit that ended at `mark` is durable. */
  setDurable(mark: WindowMark): void {
    assert(mark.head >= this.#durable.head && mark.tail >= this.#durable.tail, 'a window only goes on')
    // After a pause most of the window may go at once; then the index is made anew of the few that stay.
    const isMost = mark.tail - this.#start > 2 * (this.#head - mark.tail) + CHUNK_ENTRIES
    if (isMost) this.#index(mark.tail)
    else this.#unindexAll(this.#start, mark.tail)
    this.#letGo(mark.tail)
    this.#durable = mark
  }

  /** Forgets everything since the last durable mark, and remembers again what was evicted since. */
  rollBack(): void {
    const { head, tail } = this.#durable
    this.#unindexAll(head, this.#head)
    this.#head = head
    this.#tail = tail
  }

  /** Adds entries without looking them up: for loading only, and to be followed by `indexLoaded`. */
  load(piece: EntryPiece): void {
    const { words } = piece
    const count = words.length / ENTRY_WORDS
    const firstLow = words[TIME_WORD] ?? 0
    for (let done = 0; done < count; ) {
      const slot = this.#head % CHUNK_ENTRIES
      const taken = Math.min(count - done, CHUNK_ENTRIES - slot)
      const passed = (words[done * ENTRY_WORDS + TIME_WORD]! - firstLow) >>> 0
      const last = (words[(done + taken - 1) * ENTRY_WORDS + TIME_WORD]! - firstLow) >>> 0
      const chunk = this.#chunkFor(this.#head, piece.timeMs + passed, piece.timeMs + last)
      chunk.words.set(words.subarray(done * ENTRY_WORDS, (done + taken) * ENTRY_WORDS), slot * ENTRY_WORDS)
      this.#head += taken
      done += taken
      this.#tail = Math.max(this.#tail, this.#head - this.#bounds.count)
      this.#letGo(this.#tail)
    }
  }

  /** After loading: evicts by the time of the log's last commit and builds the index of what remains. */
  indexLoaded(timeMs: number): void {
    this.expire(timeMs)
    this.#letGo(this.#tail)
    this.#durable = this.mark()
    this.#index(this.#tail)
  }

  /** The entries at [from, to), as views into the ring that are valid until the next change. */
  pieces(from: number, to: number): readonly EntryPiece[] {
    const found: EntryPiece[] = []
    for (let place = from; place < to; ) {
      const chunk = this.#chunkOf(place)
      const slot = place % CHUNK_ENTRIES
      const nextTime = chunk.times.find((time) => time.slot > slot)?.slot ?? CHUNK_ENTRIES
      const end = Math.min(slot + (to - place), nextTime)
      const words = chunk.words.subarray(slot * ENTRY_WORDS, end * ENTRY_WORDS)
      found.push({ timeMs: this.#timeOf(place), words })
      place += end - slot
    }
    return found
  }

  #push(words: Int32Array, at: number, timeMs: number): void {
    const chunk = this.#chunkFor(this.#head, timeMs, timeMs).words
    const to = (this.#head % CHUNK_ENTRIES) * ENTRY_WORDS
    chunk[to] = words[at]!
    chunk[to + 1] = words[at + 1]!
    chunk[to + 2] = words[at + 2]!
    chunk[to + 3] = words[at + 3]!
    chunk[to + TIME_WORD] = timeMs | 0
    this.#head++
    if (this.#head - this.#tail > this.#bounds.count) this.#tail = this.#head - this.#bounds.count
  }

  #timeOf(place: number): number {
    const chunk = this.#chunkOf(place)
    const slot = place % CHUNK_ENTRIES
    let time = chunk.times[0]!
    for (let i = 1; i < chunk.times.length && chunk.times[i]!.slot <= slot; i++) time = chunk.times[i]!
    return time.timeMs + ((chunk.words[slot * ENTRY_WORDS + TIME_WORD]! - (time.timeMs | 0)) >>> 0)
  }

  /** Forgets the ring before `place`; the index no longer points there. */
  #letGo(place: number): void {
    const kept = Math.floor(place / CHUNK_ENTRIES)
    for (let number = Math.floor(this.#start / CHUNK_ENTRIES); number < kept; number++) {
      this.#spare = this.#chunks.get(number) ?? this.#spare
      this.#chunks.delete(number)
    }
    this.#start = place
  }

  #chunkOf(place: number): Chunk {
    return must(this.#chunks.get(Math.floor(place / CHUNK_ENTRIES)), `entry ${place} is held`)
  }

  /** The chunk that takes entries from `place` on whose times go from `timeMs` to `lastMs`. */
  #chunkFor(place: number, timeMs: number, lastMs: number): Chunk {
    const number = Math.floor(place / CHUNK_ENTRIES)
    const slot = place % CHUNK_ENTRIES
    let chunk = this.#chunks.get(number)
    if (chunk === undefined) {
      chunk = this.#spare ?? { words: new Int32Array(CHUNK_WORDS), times: [] }
      this.#spare = undefined
      chunk.times = [{ slot, timeMs }]
      this.#chunks.set(number, chunk)
      return chunk
    }
    // What a roll back left behind is overwritten from here on, times included.
    while (chunk.times.length > 0 && chunk.times.at(-1)!.slot >= slot) chunk.times.pop()
    const known = chunk.times.at(-1)
    if (known === undefined || lastMs - known.timeMs >= 2 ** 32) chunk.times.push({ slot, timeMs })
    return chunk
  }

  /** The whole place of an entry that the index has, from its low 32 bits. */
  #placeOf(low: number): number {
    return this.#start + ((low - (this.#start | 0)) >>> 0)
  }

  #holds(place: number, words: Int32Array, at: number): boolean {
    const chunk = this.#chunkOf(place).words
    const from = (place % CHUNK_ENTRIES) * ENTRY_WORDS
    return (
      chunk[from] === words[at] &&
      chunk[from + 1] === words[at + 1] &&
      chunk[from + 2] === words[at + 2] &&
      chunk[from + 3] === words[at + 3]
    )
  }

  #place(tag: number, low: number): void {
    const cells = this.#cells
    const wrap = cells.length - 1
    let cell = (tag >>> this.#shift) << 1
    while (cells[cell] !== 0) cell = (cell + 2) & wrap
    cells[cell] = tag
    cells[cell + 1] = low
  }

  #grow(): void {
    const old = this.#cells
    this.#cells = new Int32Array(2 * old.length)
    this.#shift--
    for (let cell = 0; cell < old.length; cell += 2) {
      if (old[cell] !== 0) this.#place(old[cell]!, old[cell + 1]!)
    }
  }

  /** Makes the index anew, of all entries from `from` on. */
  #index(from: number): void {
    const count = this.#head - from
    let bits = 10
    while (2 ** bits * LOAD_MAX <= count) bits++
    this.#shift = 32 - bits
    this.#cells = new Int32Array(2 * 2 ** bits)
    this.#used = count
    this.#inBlocks(from, this.#head, (tag, place) => this.#place(tag, place | 0))
  }

  #unindexAll(from: number, to: number): void {
    this.#inBlocks(from, to, (tag, place) => this.#unindex(tag, place | 0))
  }

  /** Calls `each` for the tags and places of [from, to), after touching the index cells of a block of them. */
  #inBlocks(from: number, to: number, each: (tag: number, place: number) => void): void {
    const words = new Int32Array(4 * Math.min(BLOCK_ENTRIES, to - from))
    for (let start = from; start < to; start += BLOCK_ENTRIES) {
      const count = Math.min(BLOCK_ENTRIES, to - start)
      let chunk = this.#chunkOf(start).words
      for (let i = 0; i < count; i++) {
        const slot = (start + i) % CHUNK_ENTRIES
        if (slot === 0) chunk = this.#chunkOf(start + i).words
        words[4 * i] = chunk[slot * ENTRY_WORDS]! | 1
      }
      this.touch(words, count)
      for (let i = 0; i < count; i++) each(words[4 * i]!, start + i)
    }
  }

  /** Takes an entry out of the index and shifts back what probing had pushed past it. */
  #unindex(tag: number, low: number): void {
    const cells = this.#cells
    const wrap = cells.length - 1
    let hole = (tag >>> this.#shift) << 1
    while (cells[hole] !== tag || cells[hole + 1] !== low) hole = (hole + 2) & wrap
    for (let cell = (hole + 2) & wrap; cells[cell] !== 0; cell = (cell + 2) & wrap) {
      const home = (cells[cell]! >>> this.#shift) << 1
      if (((cell - home) & wrap) < ((cell - hole) & wrap)) continue
      cells[hole] = cells[cell]!
      cells[hole + 1] = cells[cell + 1]!
      hole = cell
    }
    cells[hole] = 0
    this.#used--
  }
}
