/**
 * Cuts, commits and offsets: the coordinates of the log. Pure data.
 *
 * A commit is one frame of the log, made durable as a whole. Commits are numbered 1, 2, 3, … without a gap for
 * the whole data folder, over all streams and partitions. A cut is the log after some commit, so a cut is named
 * by that commit's number; cut 0 is the empty log. A range of the log is written (from, to]: the events of the
 * commits after cut `from` up to and including cut `to`. Ranges that share a border never overlap.
 */

declare const brand: unique symbol
type Brand<T, Name extends string> = T & { readonly [brand]?: Name }

/** The number of a commit, and so the name of the cut after it. 0 is the empty log. */
export type CommitSeq = Brand<number, 'CommitSeq'>
/** Dense position of an event within its partition, from 0. */
export type Offset = Brand<number, 'Offset'>
/** Number of a partition within its stream, from 0. */
export type Partition = Brand<number, 'Partition'>
/** Hash (lower-case hex) of everything that decides a view's result. */
export type VersionId = Brand<string, 'VersionId'>

export const EMPTY_CUT: CommitSeq = 0

/** A half-open range of commits: after cut `from`, up to and including cut `to`. Empty when they are equal. */
export interface CommitRange {
  readonly from: CommitSeq
  readonly to: CommitSeq
}

/** Per stream: for each partition the offset that the next event will get. */
export type OffsetVector = Readonly<Record<string, readonly Offset[]>>

/** A cut with the vector of offsets it stands for. */
export interface Cut {
  readonly commit: CommitSeq
  readonly offsets: OffsetVector
}
