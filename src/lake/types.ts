/** What the lake publishes: Parquet files by commit range, and a manifest of them. Pure data. */

import type { CommitSeq, Offset } from '../model/cut.ts'

/**
 * One Parquet file: all events of one stream in the commits (from, to]. Columns: the schema's top-level fields with
 * their SQL types, then `_partition` INTEGER, `_offset` BIGINT, `_commit` BIGINT, `_index` INTEGER,
 * `_ingested_at` TIMESTAMP; sorted by `_commit`, `_index`. Missing values stay NULL: defaults are applied on reading.
 * Of a stream with a time field `_watermark` TIMESTAMP follows, which the event's commit stores (late-rule.ts). Where a field may be both missing and null, a last column `_json` keeps the event's text (event-text.ts).
 */
export interface LakeFile {
  readonly stream: string
  readonly from: CommitSeq
  readonly to: CommitSeq
  readonly path: string
  readonly rows: number
  readonly bytes: number
  /** CRC-32 of the file's bytes. */
  readonly checksum: number
  /** Per partition: first offset in the file and the offset after its last. */
  readonly offsets: readonly { readonly from: Offset; readonly to: Offset }[]
  /** Top-level fields the file has columns for, and `_watermark` and `_json` if it has them; later fields are missing. */
  readonly fields: readonly string[]
  /** First and last ingest time in ms, and event time in µs where the stream has one; older files lack it. */
  readonly times?: {
    readonly ingested: readonly [number, number]
    readonly events?: readonly [number, number]
  }
}

export interface LakeManifest {
  /** The lake holds every event up to this cut; the hot log serves what comes after it. */
  readonly through: CommitSeq
  readonly files: readonly LakeFile[]
}
