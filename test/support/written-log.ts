/**
 * For tests: writes a small hot log of given commits as the log itself would, and gives its manifest. State: the
 * files in the given folder.
 */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { encodeDeadLine, encodeFrameHeader, encodeSegmentHeader, segmentName } from '../../src/log/frame.ts'
import type { DeadLetter, LogManifest, SegmentInfo } from '../../src/log/types.ts'

export interface FixtureEvent {
  readonly stream: string
  readonly partition: number
  readonly json: string
}

export interface FixtureCommit {
  readonly timeMs: number
  readonly events: readonly FixtureEvent[]
  readonly dead?: readonly DeadLetter[]
}

/** Writes commits 1, 2, …; a segment closes after `commitsPerSegment`, and the last one stays open. */
export async function writeLogFixture(
  folder: string,
  commits: readonly FixtureCommit[],
  commitsPerSegment: number,
  partitions = 4,
): Promise<LogManifest> {
  const offsets: Record<string, number[]> = {}
  const segments: SegmentInfo[] = []
  let timeMs = 0
  for (let base = 0; base < commits.length; base += commitsPerSegment) {
    const part = commits.slice(base, base + commitsPerSegment)
    const number = segments.length + 1
    const previousBytes = segments.at(-1)?.bytes
    const head = encodeSegmentHeader({
      ...{
        segment: number,
        base,
        timeMs,
        offsets: copyOf(offsets),
        watermarksUs: {},
        counts: {},
        previousBytes,
      },
    })
    const counts: Record<string, number> = {}
    const buffers: Buffer[] = [head]
    part.forEach((commit, index) => {
      timeMs = commit.timeMs
      buffers.push(...frame(base + index + 1, commit, offsets, partitions))
      for (const { stream } of commit.events) counts[stream] = (counts[stream] ?? 0) + 1
    })
    const bytes = Buffer.concat(buffers)
    const path = join(folder, segmentName(number))
    const last = base + part.length
    await writeFile(path, bytes)
    segments.push({
      ...{ path, number, base, last, start: head.byteLength, bytes: bytes.byteLength },
      closed: last < commits.length,
      events: counts,
    })
  }
  return { segments, durable: commits.length }
}

function frame(
  commit: number,
  { timeMs, events, dead = [] }: FixtureCommit,
  offsets: Record<string, number[]>,
  partitions: number,
): Buffer[] {
  const lines = events.map(({ stream, partition, json }, index) => {
    const next = offsets[stream] ?? Array.from({ length: partitions }, () => 0)
    offsets[stream] = next
    const offset = next[partition] ?? 0
    next[partition] = offset + 1
    return `{"c":${commit},"i":${index},"p":${partition},"o":${offset},${JSON.stringify(stream)}:${json}}\n`
  })
  const body = Buffer.from([...lines, ...dead.map((letter) => encodeDeadLine(commit, letter))].join(''))
  const changed = new Set(events.map(({ stream }) => stream))
  const named = Object.fromEntries(Object.entries(copyOf(offsets)).filter(([stream]) => changed.has(stream)))
  const header = {
    ...{ commit, timeMs, events: events.length, bytes: body.byteLength },
    ...{ offsets: named, watermarksUs: {}, counts: {} },
  }
  return [encodeFrameHeader(header, [body]), body]
}

function copyOf(offsets: Record<string, number[]>): Record<string, number[]> {
  return structuredClone(offsets)
}
