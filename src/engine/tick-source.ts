/**
 * Where a tick's events come from: the lake for what it holds, then one hot segment at a time. New bytes of a segment
 * are copied into a scratch file, so that DuckDB reads whole frames and never the frame that is being written; closed
 * segments are read where they are.
 *
 * State: the byte positions of the last cuts, open descriptors of the segments, the scratch file, and the state of the
 * log where the last tick ended, for views that hold late events back. The source of a tick is valid until the next
 * one is opened.
 */

import { closeSync, fstatSync, openSync, readdirSync, readSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { LateRule } from '../lake/late-rule.ts'
import { hotRelation, lakeRelation, type RelationOptions } from '../lake/relation.ts'
import type { StateValues } from '../log/frame.ts'
import { type ByteRange, LogCursor, type LogPosition } from '../log/log-cursor.ts'
import { createLogReader } from '../log/reader.ts'
import type { LogManifest } from '../log/types.ts'
import type { CommitSeq } from '../model/cut.ts'
import type { StreamDef } from '../model/schema.ts'
import type { EventPosition, LogSources } from './engine.ts'
import { type HotWatermarks, hotWatermarks, noWatermark } from './hot-watermarks.ts'

export interface TickSource {
  readonly from: CommitSeq
  readonly through: CommitSeq
  /** Size of what will be read, for choosing how many threads read it. */
  readonly bytes: number
  /** SELECT of a stream's events in (from, through]; `fields` by name, positions and system columns on demand. */
  relation(stream: StreamDef, fields: readonly string[], options: TickRelationOptions): string
}

export interface TickRelationOptions {
  readonly system: boolean
  readonly positions: boolean
  readonly skipped: readonly EventPosition[]
  /** Leaves late events after this cut out; the source was opened for the stream. */
  readonly withoutLateAfter?: CommitSeq
}

/** Memory-backed files keep a tick's copy away from the disk that the log syncs; it is small in some containers. */
const MEMORY_FOLDER = '/dev/shm'
const MEMORY_BYTES_MAX = 8 << 20
const POSITIONS_MAX = 64
const COPY_BYTES = 4 << 20

export class TickSources {
  readonly #scratchDir: string
  readonly #memoryDir: string | undefined
  readonly #reader = createLogReader()
  readonly #positions = new Map<CommitSeq, LogPosition>()
  readonly #descriptors = new Map<string, number>()
  #end: { readonly commit: CommitSeq; readonly state: StateValues } | undefined

  constructor(scratchDir: string) {
    this.#scratchDir = scratchDir
    this.#memoryDir = usableMemoryFolder()
  }

  /**
   * The events after cut `from`, up to cut `to` or the durable one, as much of them as one tick should take. Of the
   * streams `timed` it knows which events are late.
   */
  async open(
    sources: LogSources,
    from: CommitSeq,
    to: CommitSeq | undefined,
    timed: readonly string[] = [],
  ): Promise<TickSource | undefined> {
    const { lake, log } = sources
    if (from < lake.through) return lakeSource(sources, from, Math.min(lake.through, to ?? lake.through))
    const limit = to === undefined || to >= log.durable ? undefined : await this.#positionOf(log, to)
    const cursor = new LogCursor(await this.#positionOf(log, from))
    const range = cursor.advance(limitedManifest(log, limit))[0]
    if (range === undefined) return undefined
    this.#remember({ commit: range.to, segment: range.segment, position: range.end })
    this.#closeOthers(log)
    const file = this.#wholeFile(log, range) ? range.path : this.#copy(range)
    const marks = timed.length === 0 ? undefined : await this.#watermarks(log, range, timed)
    return {
      from,
      through: range.to,
      bytes: range.end - range.start,
      relation: (stream, fields, options) =>
        hotRelation(stream, fields, [file], undefined, relationOptions(stream, options, marks)),
    }
  }

  async #watermarks(log: LogManifest, range: ByteRange, timed: readonly string[]): Promise<HotWatermarks> {
    const before = this.#end?.commit === range.from ? this.#end.state : undefined
    const file = (stream: string) => join(this.#scratchDir, `tick-watermarks-${timed.indexOf(stream)}.csv`)
    const marks = await hotWatermarks(log, range, timed, file, { before, bytes: range })
    this.#end = marks.end === undefined ? undefined : { commit: range.to, state: marks.end }
    return marks
  }

  close(): void {
    for (const descriptor of this.#descriptors.values()) closeSync(descriptor)
    this.#descriptors.clear()
    if (this.#memoryDir !== undefined) rmSync(memoryFile(this.#memoryDir, process.pid), { force: true })
  }

  /** Where a cut stands in the hot log; known without reading for cuts that a tick has reached. */
  async #positionOf(log: LogManifest, cut: CommitSeq): Promise<LogPosition> {
    const known = this.#positions.get(cut)
    if (known !== undefined) return known
    const position = await this.#reader.locate(log, cut)
    this.#remember(position)
    return position
  }

  #remember(position: LogPosition): void {
    this.#positions.set(position.commit, position)
    const oldest = this.#positions.keys().next().value
    if (this.#positions.size > POSITIONS_MAX && oldest !== undefined) this.#positions.delete(oldest)
  }

  /** Lets go of segments that left the hot log. */
  #closeOthers(log: LogManifest): void {
    const paths = new Set(log.segments.map((segment) => segment.path))
    for (const [path, descriptor] of this.#descriptors) {
      if (paths.has(path)) continue
      closeSync(descriptor)
      this.#descriptors.delete(path)
    }
  }

  /** Bytes after a closed segment's valid length failed to sync and are no part of the log. */
  #wholeFile(log: LogManifest, range: ByteRange): boolean {
    const segment = log.segments.find((candidate) => candidate.number === range.segment)
    if (segment === undefined || !segment.closed || range.start !== segment.start) return false
    return fstatSync(this.#descriptor(range.path)).size === range.end
  }

  #descriptor(path: string): number {
    let descriptor = this.#descriptors.get(path)
    if (descriptor === undefined) {
      descriptor = openSync(path, 'r')
      this.#descriptors.set(path, descriptor)
    }
    return descriptor
  }

  #copy(range: ByteRange): string {
    const bytes = readRange(this.#descriptor(range.path), range)
    const small = this.#memoryDir !== undefined && bytes.length <= MEMORY_BYTES_MAX
    const file = small
      ? memoryFile(this.#memoryDir ?? '', process.pid)
      : join(this.#scratchDir, 'tick.ndjson')
    writeFileSync(file, bytes)
    return file
  }
}

/** Copies the frames of a byte range into a file of its own, for readers that outlive a tick; ticks go on meanwhile. */
export async function copyRange(range: ByteRange, file: string): Promise<void> {
  const source = await open(range.path, 'r')
  try {
    const target = await open(file, 'w')
    try {
      const buffer = Buffer.allocUnsafe(Math.min(COPY_BYTES, range.end - range.start))
      for (let position = range.start; position < range.end; ) {
        const wanted = Math.min(buffer.length, range.end - position)
        const { bytesRead } = await source.read(buffer, 0, wanted, position)
        if (bytesRead === 0)
          throw new Error(`${range.path} ends at byte ${position}, before byte ${range.end}`)
        await target.writeFile(buffer.subarray(0, bytesRead))
        position += bytesRead
      }
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}

function readRange(descriptor: number, range: ByteRange): Buffer {
  const bytes = Buffer.allocUnsafe(range.end - range.start)
  let filled = 0
  while (filled < bytes.length) {
    const count = readSync(descriptor, bytes, filled, bytes.length - filled, range.start + filled)
    if (count === 0)
      throw new Error(`${range.path} ends at byte ${range.start + filled}, before byte ${range.end}`)
    filled += count
  }
  return bytes
}

function lakeSource(sources: LogSources, from: CommitSeq, through: CommitSeq): TickSource {
  return {
    from,
    through,
    bytes: Number.POSITIVE_INFINITY,
    relation: (stream, fields, options) =>
      lakeRelation(
        stream,
        fields,
        sources.lake.files.filter((file) => file.stream === stream.name),
        { from, to: through },
        relationOptions(stream, options),
      ),
  }
}

function relationOptions(
  stream: StreamDef,
  { withoutLateAfter: after, ...options }: TickRelationOptions,
  marks?: HotWatermarks,
): RelationOptions {
  if (after === undefined) return options
  const late: LateRule = { take: 'out', after, watermark: marks?.sql(stream.name) ?? noWatermark }
  return { ...options, late }
}

/** The manifest as it was when its durable cut was at `limit`. */
function limitedManifest(log: LogManifest, limit: LogPosition | undefined): LogManifest {
  if (limit === undefined || limit.commit >= log.durable) return log
  const segments = log.segments
    .filter((segment) => segment.number <= limit.segment)
    .map((segment) =>
      segment.number === limit.segment ? { ...segment, last: limit.commit, bytes: limit.position } : segment,
    )
  return { segments, durable: limit.commit }
}

function memoryFile(folder: string, pid: number): string {
  return join(folder, `refold-tick-${pid}.ndjson`)
}

/** Also removes the files of engines that were killed. */
function usableMemoryFolder(): string | undefined {
  try {
    for (const name of readdirSync(MEMORY_FOLDER)) {
      const pid = /^refold-tick-(\d+)\.ndjson$/.exec(name)?.[1]
      if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(MEMORY_FOLDER, name), { force: true })
    }
    writeFileSync(memoryFile(MEMORY_FOLDER, process.pid), '')
    return MEMORY_FOLDER
  } catch {
    return undefined
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
