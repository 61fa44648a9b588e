/**
 * What the log takes and gives: prepared events in, cuts out, and a manifest by which other processes read the
 * files themselves. The on-disk layout stands above its codec in `frame.ts`.
 */

import type { CommitSeq, Cut, Offset, OffsetVector, Partition } from '../model/cut.ts'

/** An event that passed validation, ready to be written. */
export interface PreparedEvent {
  readonly stream: string
  readonly partition: Partition
  /** Canonical JSON text of the event, keys in schema order. */
  readonly json: string
  /** Event time in microseconds since the epoch, where the stream has a time field. */
  readonly timeUs?: number
  /**
   * Text of the event's id, where the stream (or the request) has one; the dedupe window keys on (stream, id). Where
   * the schema names the id's field it must be what `json` says there: a string's value, else the JSON text itself.
   */
  readonly id?: string
  /** Position in the request, for the answer. */
  readonly index: number
}

/** A rejected event, kept durably with the reason. */
export interface DeadLetter {
  readonly stream: string
  readonly index: number
  readonly code: string
  readonly reason: string
  /** JSON pointer into the event, '' for the whole. */
  readonly place: string
  /** The source text as sent, cut to a limit. */
  readonly raw: string
}

export interface AppendRequest {
  readonly stream: string
  readonly events: readonly PreparedEvent[]
  readonly deadLetters: readonly DeadLetter[]
  /** Bytes of the request, for the queue's bound. */
  readonly bytes: number
  /**
   * Texts under which the same event would stand in the log if it had come before its stream's schema changed: asked
   * for only where an id is known with another content, so that a retry is told from a conflict.
   */
  readonly formsBefore?: (json: string) => readonly string[]
}

export interface AppendResult {
  /** Cut that includes everything the answer speaks of, duplicates' originals included. */
  readonly cut: CommitSeq
  readonly accepted: number
  readonly duplicates: number
  /** Events whose id was seen with other content: rejected, and in the dead letters. */
  readonly conflicts: readonly { readonly index: number; readonly id: string }[]
}

/** Counters since the data folder began, at a cut: received = accepted + duplicate + rejected. */
export interface StreamCounts {
  readonly accepted: number
  readonly duplicate: number
  readonly rejected: number
}

export interface DurableState {
  readonly cut: Cut
  /** Ingest time of the last commit, ms since the epoch. */
  readonly timeMs: number
  readonly counts: Readonly<Record<string, StreamCounts>>
  /** Per stream the watermark in microseconds since the epoch, where it has a time field and an event. */
  readonly watermarksUs: Readonly<Record<string, number>>
  /** Per stream with a time field: accepted events whose time lies before the watermark of their own commit. */
  readonly late: Readonly<Record<string, number>>
}

/** One hot segment. Commits (base, last] are in it; `bytes` is its durable length. */
export interface SegmentInfo {
  readonly path: string
  readonly number: number
  readonly base: CommitSeq
  readonly last: CommitSeq
  /** Byte position of the first frame, after the segment's own header line. */
  readonly start: number
  readonly bytes: number
  readonly closed: boolean
  /** Event counts per stream, so that a seal knows which streams are in it. */
  readonly events: Readonly<Record<string, number>>
}

/** What a reader of the files needs; segments in order, without a gap, the last one open. */
export interface LogManifest {
  readonly segments: readonly SegmentInfo[]
  /** Cut up to which everything is synced; nobody reads past it. */
  readonly durable: CommitSeq
}

/** Header of one commit, as read back. */
export interface CommitHeader {
  readonly commit: CommitSeq
  readonly timeMs: number
  readonly events: number
  /** Byte length of the frame's body. */
  readonly bytes: number
  readonly offsets: OffsetVector
  readonly watermarksUs: Readonly<Record<string, number>>
  readonly counts: Readonly<Record<string, StreamCounts>>
  readonly late?: Readonly<Record<string, number>>
}

/** An event as read back from the log. */
export interface LogEvent {
  readonly commit: CommitSeq
  readonly index: number
  readonly stream: string
  readonly partition: Partition
  readonly offset: Offset
  readonly timeMs: number
  readonly json: string
}
