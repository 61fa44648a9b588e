/**
 * A sparse index of the hot log: about every 256 KiB of a segment the state of the log at that border of frames
 * (commit, ingest time, next offsets). It finds the border where a commit, an offset or a time begins by one
 * binary search and a short walk over headers. State: a cache of samples for each segment, which grows with the
 * segment and is dropped with it; it is built from the files when first asked for, by jumping from header to header.
 *
 * Why it is right: commit, ingest time and offsets never decrease along the log, so a question of the form "was it
 * reached?" is false up to one border and true from there on, and a search for that border may start at any sample
 * where it is false.
 */

import type { CommitSeq, OffsetVector } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import { must } from '../std/assert.ts'
import type { FileHandle, Files } from '../std/files.ts'
import { decodeSegmentHeader } from './frame.ts'
import { BadFrame, readFirstLine, walkHeaders } from './frame-walk.ts'
import type { LogPosition } from './log-cursor.ts'
import type { LogManifest, SegmentInfo } from './types.ts'

/** The log at one border of frames. */
export interface Border {
  readonly commit: CommitSeq
  readonly position: number
  readonly timeMs: number
  readonly offsets: OffsetVector
}

export interface SegmentIndex {
  /** The last border at which `reached` is still false, or the hot log's first one. `reached` must never go back. */
  find(manifest: LogManifest, reached: (border: Border) => boolean): Promise<LogPosition>
}

export interface SegmentIndexOptions {
  readonly files: Files
  readonly sampleBytes?: number
}

export function createSegmentIndex(options: SegmentIndexOptions): SegmentIndex {
  const { files, sampleBytes = 256 << 10 } = options
  const cache = new Map<number, Promise<SampledSegment>>()

  /** Samples up to the segment's durable length; calls for one segment follow each other. */
  function sampled(info: SegmentInfo): Promise<SampledSegment> {
    const before = cache.get(info.number) ?? Promise.resolve(undefined)
    const next = before
      .catch(() => undefined)
      .then(async (known) => {
        if (known?.path === info.path && known.end.position >= info.bytes) return known
        return await extendSamples(files, info, known?.path === info.path ? known : undefined, sampleBytes)
      })
    cache.set(info.number, next)
    return next
  }

  return {
    async find(manifest, reached) {
      for (const number of cache.keys()) {
        if (number < (manifest.segments[0]?.number ?? 0)) cache.delete(number)
      }
      for (const info of manifest.segments.toReversed()) {
        const { samples } = await sampled(info)
        const isFirst = info === manifest.segments[0]
        if (reached(samples[0]!) && !isFirst) continue
        return await findWithin(files, info, samples, reached)
      }
      throw new RefoldError('LOG_CORRUPT', 'the log has no segment')
    },
  }
}

interface SampledSegment {
  readonly path: string
  readonly samples: readonly Border[]
  /** How far the file was walked. */
  readonly end: Border
}

async function extendSamples(
  files: Files,
  info: SegmentInfo,
  known: SampledSegment | undefined,
  sampleBytes: number,
): Promise<SampledSegment> {
  return await withFile(files, info.path, async (handle) => {
    const samples = known === undefined ? [await firstBorder(handle, info)] : [...known.samples]
    let end = known?.end ?? samples[0]!
    for await (const border of bordersAfter(handle, end, info)) {
      end = border
      if (border.position - samples.at(-1)!.position >= sampleBytes) samples.push(border)
    }
    return { path: info.path, samples, end }
  })
}

async function findWithin(
  files: Files,
  info: SegmentInfo,
  samples: readonly Border[],
  reached: (border: Border) => boolean,
): Promise<LogPosition> {
  let low = 0
  let high = samples.length
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (reached(samples[middle]!)) high = middle
    else low = middle
  }
  let last = samples[low]!
  if (!reached(last)) {
    await withFile(files, info.path, async (handle) => {
      for await (const border of bordersAfter(handle, last, info)) {
        if (reached(border)) return
        last = border
      }
    })
  }
  return { commit: last.commit, segment: info.number, position: last.position }
}

async function firstBorder(handle: FileHandle, info: SegmentInfo): Promise<Border> {
  const first = await readFirstLine(handle, info.bytes)
  const read = first === undefined ? undefined : decodeSegmentHeader(first.line)
  if (read?.kind !== 'ok') throw corruptAt(info.path, 0)
  const { base: commit, timeMs, offsets } = read.header
  return { commit, position: must(first, 'a header was read').next, timeMs, offsets }
}

async function* bordersAfter(handle: FileHandle, from: Border, info: SegmentInfo): AsyncGenerator<Border> {
  let offsets = from.offsets
  try {
    for await (const { header, end } of walkHeaders(handle, from.position, info.bytes)) {
      offsets = { ...offsets, ...header.offsets }
      yield { commit: header.commit, position: end, timeMs: header.timeMs, offsets }
    }
  } catch (error) {
    throw error instanceof BadFrame ? corruptAt(info.path, error.position) : error
  }
}

/** A durable part of the log does not check. */
export function corruptAt(path: string, position: number): RefoldError {
  return new RefoldError('LOG_CORRUPT', `segment "${path}" does not check at byte ${position}`, {
    place: { file: path },
    details: { path, byte: position },
  })
}

export async function withFile<T>(
  files: Files,
  path: string,
  work: (handle: FileHandle) => Promise<T>,
): Promise<T> {
  const handle = await files.open(path, 'read')
  try {
    return await work(handle)
  } finally {
    await handle.close()
  }
}
