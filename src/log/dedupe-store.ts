/**
 * The dedupe windows of all streams, and the sidecar files that keep them over a restart. State: one window a stream
 * and, for every segment whose ids are still remembered, how far its sidecar has come. Sidecars are written behind
 * the commits and hold durable commits only; what they lack at a restart is read out of the segments' frames. So a
 * failure to write one hurts nobody: the file is begun again from the ring, and until it is complete and synced its
 * segment is not dropped.
 */

import { join } from 'node:path'
import type { CommitSeq } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import { namesOf, type StreamDef } from '../model/schema.ts'
import { type FileHandle, type Files, writeAll } from '../std/files.ts'
import { hashBytes64, hashKey, hashText128, seedCheck } from '../std/hash.ts'
import { Serial } from '../std/serial.ts'
import type { CrashHook } from './crash-point.ts'
import { decodeSidecar, encodeSidecarBlock, type SidecarSection, sidecarName } from './dedupe-sidecar.ts'
import { DedupeWindow, ENTRY_WORDS, type WindowMark } from './dedupe-window.ts'
import { eventId } from './event-id.ts'
import { decodeBodyLine } from './frame.ts'
import type { CommitHeader } from './types.ts'

/** A stream's window and what is needed to look an id up in it. */
export interface StreamWindow {
  readonly stream: string
  readonly window: DedupeWindow
  readonly idKey: Int32Array
  /** The id's field, where the schema names one, so that log lines need not repeat it. */
  idField: string | undefined
}

/** Ends of all windows at the end of a commit. */
export type DedupeMark = ReadonlyMap<StreamWindow, WindowMark>

export interface DedupeStoreOptions {
  readonly dir: string
  readonly files: Files
  readonly seed: string
  readonly streams: readonly StreamDef[]
  readonly crash: CrashHook
  /** A sidecar is written once this many entries are durable and not in it. */
  readonly flushEntries: number
}

interface Sidecar {
  readonly segment: number
  readonly base: CommitSeq
  readonly path: string
  /** Where the segment's entries begin in each window; 0 for windows not named. */
  readonly starts: ReadonlyMap<StreamWindow, number>
  /** Where they end, once the segment is closed; and its last commit. */
  closed: { readonly last: CommitSeq; readonly ends: ReadonlyMap<StreamWindow, number> } | undefined
  /** The file holds the commits (base, covered], in `bytes` bytes, and the windows' entries before `next`. */
  covered: CommitSeq
  bytes: number
  next: ReadonlyMap<StreamWindow, number>
  handle: FileHandle | undefined
  isSynced: boolean
  isDropped: boolean
}

export class DedupeStore {
  readonly #options: DedupeStoreOptions
  readonly #seedCheck: number
  readonly #contentKey: Int32Array
  #defs: ReadonlyMap<string, StreamDef> = new Map()
  readonly #windows = new Map<string, StreamWindow>()
  #sidecars: Sidecar[] = []
  readonly #writes = new Serial()
  #durable: { commit: CommitSeq; heads: ReadonlyMap<StreamWindow, number> }
  #unflushed = 0
  /** The last failure to write a sidecar, until one succeeds. */
  problem: unknown

  constructor(options: DedupeStoreOptions) {
    this.#options = options
    this.#seedCheck = seedCheck(options.seed)
    this.#contentKey = hashKey(options.seed, 'content')
    this.#durable = { commit: 0, heads: new Map() }
    this.setStreams(options.streams)
  }

  get contentKey(): Int32Array {
    return this.#contentKey
  }

  setStreams(streams: readonly StreamDef[]): void {
    this.#defs = new Map([...this.#defs, ...streams.map((def) => [def.name, def] as const)])
    for (const [name, known] of this.#windows) {
      const def = this.#defs.get(name)
      if (def === undefined || def.dedupe.count <= 0) continue
      known.window.setBounds(def.dedupe)
      known.idField = def.id
    }
  }

  /** The stream's window; undefined where nothing is to be remembered. */
  window(stream: string): StreamWindow | undefined {
    const known = this.#windows.get(stream)
    if (known !== undefined) return known
    const def = this.#defs.get(stream)
    if (def === undefined || def.dedupe.count <= 0) return undefined
    const idKey = hashKey(this.#options.seed, `id ${stream}`)
    const window = new DedupeWindow(def.dedupe)
    const made: StreamWindow = { stream, window, idKey, idField: def.id }
    this.#windows.set(stream, made)
    return made
  }

  mark(): DedupeMark {
    return new Map(Array.from(this.#windows.values(), (known) => [known, known.window.mark()]))
  }

  setDurable(commit: CommitSeq, mark: DedupeMark): void {
    const heads = new Map<StreamWindow, number>()
    for (const [known, ends] of mark) {
      known.window.setDurable(ends)
      heads.set(known, ends.head)
      this.#unflushed += ends.head - (this.#durable.heads.get(known) ?? 0)
    }
    this.#durable = { commit, heads }
    if (this.#unflushed < this.#options.flushEntries) return
    this.#unflushed = 0
    const active = this.#sidecars.at(-1)
    if (active !== undefined) this.#inBackground(() => this.#flush(active))
  }

  rollBack(): void {
    for (const { window } of this.#windows.values()) window.rollBack()
  }

  /** A segment begins at the durable commit; the one before it is closed, and its sidecar is completed. */
  beginSegment(segment: number): void {
    const { commit, heads } = this.#durable
    const before = this.#sidecars.at(-1)
    if (before !== undefined && before.closed === undefined) before.closed = { last: commit, ends: heads }
    this.#sidecars.push(this.#newSidecar(segment, commit, heads))
    this.#unflushed = 0
    if (before !== undefined) this.#inBackground(() => this.#settle(before))
  }

  /** Returns once the ids of a closed segment are on the disk beside it, so that it may be dropped. */
  async settled(segment: number): Promise<void> {
    const sidecar = this.#sidecars.find((known) => known.segment === segment)
    if (sidecar !== undefined) await this.#writes.run(() => this.#settle(sidecar))
  }

  /** The segment is gone; its sidecar goes once nothing in it is remembered. */
  async dropped(segment: number): Promise<void> {
    const { files, crash } = this.#options
    for (const sidecar of this.#sidecars) if (sidecar.segment <= segment) sidecar.isDropped = true
    for (const sidecar of this.#sidecars.filter((known) => known.isDropped)) {
      const ends = sidecar.closed?.ends ?? new Map()
      if (Array.from(ends).some(([known, end]) => known.window.start < end)) continue
      await this.#writes.run(() => files.unlink(sidecar.path))
      crash('log.sidecar-unlinked')
      this.#sidecars = this.#sidecars.filter((known) => known !== sidecar)
    }
  }

  /** Writes and syncs what is left. A failure costs the next start some time, and nothing else. */
  async close(): Promise<void> {
    for (const sidecar of this.#sidecars) {
      await this.#writes.run(() => this.#settle(sidecar)).catch(() => {})
      await sidecar.handle?.close().catch(() => {})
      sidecar.handle = undefined
    }
  }

  /** While recovering: takes in the sidecar of a segment that is gone. It was synced before its segment went. */
  async loadDropped(segment: number): Promise<void> {
    const sidecar = this.#newSidecar(segment, 0, this.#heads())
    const size = await this.#load(sidecar, undefined)
    if (sidecar.bytes !== size) throw corruptSidecar(sidecar.path, sidecar.bytes)
    this.#sidecars.push({
      ...sidecar,
      closed: { last: sidecar.covered, ends: this.#heads() },
      isSynced: true,
      isDropped: true,
    })
  }

  /** While recovering: takes in what the segment's sidecar holds; answers the last commit it covers. */
  async loadSegment(segment: number, base: CommitSeq): Promise<CommitSeq> {
    this.#closeLoaded(base)
    const sidecar = this.#newSidecar(segment, base, this.#heads())
    await this.#load(sidecar, base)
    sidecar.next = this.#heads()
    this.#sidecars.push(sidecar)
    return sidecar.covered
  }

  /** While recovering: takes in the ids of a commit that no sidecar covers. */
  loadCommit(header: CommitHeader, body: Buffer): void {
    const found = new Map<StreamWindow, number[]>()
    for (const text of body.toString('utf8').split('\n')) {
      if (text === '') continue
      const line = decodeBodyLine(text, header.timeMs)
      const known = line.kind === 'event' ? this.window(line.event.stream) : undefined
      if (line.kind !== 'event' || known === undefined) continue
      const id = line.id ?? eventId(line.event.json, ...idNames(this.#defs.get(known.stream)))
      if (id === undefined) continue
      const words = found.get(known) ?? []
      words.push(...this.#entry(known, id, line.event.json, header.timeMs))
      found.set(known, words)
    }
    for (const [known, words] of found) {
      known.window.load({ timeMs: header.timeMs, words: Int32Array.from(words) })
    }
  }

  /** While recovering: everything was taken in; the log ends at this commit. */
  endLoading(commit: CommitSeq, timeMs: number): void {
    for (const { window } of this.#windows.values()) window.indexLoaded(timeMs)
    this.#durable = { commit, heads: this.#heads() }
    for (const sidecar of this.#sidecars) {
      if (sidecar.closed !== undefined && !sidecar.isSynced) this.#inBackground(() => this.#settle(sidecar))
    }
  }

  #closeLoaded(last: CommitSeq): void {
    const before = this.#sidecars.at(-1)
    if (before !== undefined && before.closed === undefined) before.closed = { last, ends: this.#heads() }
  }

  async #load(sidecar: Sidecar, base: CommitSeq | undefined): Promise<number> {
    const { files } = this.#options
    const size = await files.size(sidecar.path)
    if (size === undefined || size === 0) return 0
    const file = await files.readFile(sidecar.path)
    for (const block of decodeSidecar(file, base, this.#seedCheck)) {
      if (block === 'seed') throw otherSeed(sidecar.path)
      for (const section of block.sections) this.window(section.stream)?.window.load(section)
      sidecar.covered = block.to
      sidecar.bytes = block.end
    }
    return file.byteLength
  }

  #entry(known: StreamWindow, id: string, json: string, timeMs: number): Int32Array {
    const words = new Int32Array(ENTRY_WORDS)
    hashText128(known.idKey, id, words, 0)
    const bytes = new TextEncoder().encode(json)
    hashBytes64(this.#contentKey, new DataView(bytes.buffer), 0, bytes.byteLength, words, 4)
    words[ENTRY_WORDS - 1] = timeMs | 0
    return words
  }

  #heads(): ReadonlyMap<StreamWindow, number> {
    return new Map(Array.from(this.#windows.values(), (known) => [known, known.window.head]))
  }

  #newSidecar(segment: number, base: CommitSeq, starts: ReadonlyMap<StreamWindow, number>): Sidecar {
    const path = join(this.#options.dir, sidecarName(segment))
    const begun = { covered: base, bytes: 0, next: starts, isSynced: false, isDropped: false }
    return { segment, base, path, starts, closed: undefined, handle: undefined, ...begun }
  }

  #inBackground(task: () => Promise<void>): void {
    this.#writes.run(task).then(
      () => {
        this.problem = undefined
      },
      (error: unknown) => {
        this.problem = error
      },
    )
  }

  /** Makes the sidecar complete up to the end of its segment, or the durable commit, and synced. */
  async #settle(sidecar: Sidecar): Promise<void> {
    if (sidecar.isSynced) return
    await this.#flush(sidecar)
    try {
      const isComplete = sidecar.closed !== undefined
      if (sidecar.handle === undefined) sidecar.handle = await this.#openFile(sidecar)
      await sidecar.handle.datasync()
      await this.#options.files.syncDir(this.#options.dir)
      this.#options.crash('log.sidecar-synced')
      if (!isComplete) return
      sidecar.isSynced = true
      const { handle } = sidecar
      sidecar.handle = undefined
      await handle.close()
    } catch (error) {
      this.#beginAgain(sidecar)
      throw error
    }
  }

  async #flush(sidecar: Sidecar): Promise<void> {
    const to = sidecar.closed?.last ?? this.#durable.commit
    const ends = sidecar.closed?.ends ?? this.#durable.heads
    if (to <= sidecar.covered) return
    const sections: SidecarSection[] = []
    for (const [known, end] of ends) {
      // An entry that was evicted for good need not be written.
      const from = Math.max(sidecar.next.get(known) ?? 0, known.window.start)
      if (from >= end) continue
      for (const piece of known.window.pieces(from, end)) sections.push({ stream: known.stream, ...piece })
    }
    const block = encodeSidecarBlock({ from: sidecar.covered, to }, this.#seedCheck, sections)
    try {
      sidecar.handle ??= await this.#openFile(sidecar)
      await writeAll(sidecar.handle, [block], sidecar.bytes)
      this.#options.crash('log.sidecar-written')
      sidecar.covered = to
      sidecar.bytes += block.byteLength
      sidecar.next = ends
    } catch (error) {
      this.#beginAgain(sidecar)
      throw error
    }
  }

  async #openFile(sidecar: Sidecar): Promise<FileHandle> {
    const { files } = this.#options
    if (sidecar.bytes === 0) return await files.open(sidecar.path, 'create')
    const handle = await files.open(sidecar.path, 'write')
    await handle.truncate(sidecar.bytes)
    return handle
  }

  /** After a failure nothing in the file is trusted: it is written anew from the ring, by another descriptor. */
  #beginAgain(sidecar: Sidecar): void {
    sidecar.handle?.close().catch(() => {})
    sidecar.handle = undefined
    sidecar.covered = sidecar.base
    sidecar.bytes = 0
    sidecar.next = sidecar.starts
  }
}

/** Names under which events of the stream may have their id. */
function idNames(stream: StreamDef | undefined): readonly string[] {
  if (stream?.id === undefined) return []
  const field = stream.schema.fields.find(({ name }) => name === stream.id)
  return field === undefined ? [stream.id] : namesOf(field)
}

function corruptSidecar(path: string, byte: number): RefoldError {
  return new RefoldError('LOG_CORRUPT', `dedupe file "${path}" does not check at byte ${byte}`, {
    hint: 'Restore it from a backup, or move it away: the ids in it are then forgotten before their time.',
    place: { file: path },
    details: { path, byte },
  })
}

function otherSeed(path: string): RefoldError {
  return new RefoldError('LOG_CORRUPT', `dedupe file "${path}" was written with another seed`, {
    hint: 'Restore the catalog and the log from the same backup.',
    place: { file: path },
  })
}
