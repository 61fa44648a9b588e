/**
 * A reader's place in the log, for who follows it with manifests that grow: which segment, which byte, which
 * commit. It costs nothing per event and reads nothing: a manifest states for each segment where its first frame
 * begins and how long it is at the durable cut, and both are borders of frames.
 *
 * Invariant: every frame of the commits up to `commit` lies before the position, and no other.
 */

import type { CommitRange, CommitSeq } from '../model/cut.ts'
import { assert } from '../std/assert.ts'
import type { LogManifest } from './types.ts'

/** Bytes [start, end) of a segment's file: exactly the frames of the commits (from, to]. */
export interface ByteRange extends CommitRange {
  readonly path: string
  readonly segment: number
  readonly start: number
  readonly end: number
}

/** A border of frames: everything up to `commit` lies before it. */
export interface LogPosition {
  readonly commit: CommitSeq
  readonly segment: number
  readonly position: number
}

export class LogCursor {
  #at: LogPosition

  /** `position` is found once by `locate` in reader.ts; `openLogCursor` there does both. */
  constructor(position: LogPosition) {
    this.#at = position
  }

  /** All commits up to this one were handed out. */
  get commit(): CommitSeq {
    return this.#at.commit
  }

  get position(): LogPosition {
    return this.#at
  }

  /**
   * What came since the last call, up to the manifest's durable cut, in order, at most one range for each segment.
   * The ranges join without a gap: the first begins at `commit`, the last ends at `manifest.durable`.
   */
  advance(manifest: LogManifest): readonly ByteRange[] {
    const ranges: ByteRange[] = []
    for (const info of manifest.segments) {
      const { number: segment, path } = info
      if (segment < this.#at.segment || info.last <= this.#at.commit) continue
      const start = segment === this.#at.segment ? this.#at.position : info.start
      const from = this.#at.commit
      assert(segment === this.#at.segment || info.base === from, `segment ${segment} joins cut ${from}`)
      ranges.push({ path, segment, start, end: info.bytes, from, to: info.last })
      this.#at = { commit: info.last, segment, position: info.bytes }
    }
    assert(this.#at.commit >= manifest.durable, `the manifest's segments reach cut ${manifest.durable}`)
    return ranges
  }
}
