/**
 * What a backup is: the lines by which a server lists it, and the manifest that makes a folder one. Pure data.
 *
 * A backup folder holds `backup.json` and, below `files/`, what it lists. Files that never change (lake files, slices,
 * closed segments) lie under their own path; the catalog, the open segment and the files of ids under their path with
 * a checksum behind it, so that a backup under way never writes over a file of the one before. `backup.json` is
 * written last, under another name, and renamed: until then the folder is the earlier backup, or none.
 */

import type { CommitSeq } from '../../model/cut.ts'

/** First of the lines that a server sends, its fields beside `kind: 'begin'`. */
export interface BackupBegin {
  readonly format: 1
  /** The data folder that it is of. */
  readonly id: string
  /** The backup holds the log up to this cut. */
  readonly cut: CommitSeq
  /** False: slices were left out, but for bases. */
  readonly slices: boolean
  readonly at: string
  readonly lastCommitAt: string | null
}

/** One of the lines that follow, beside `kind: 'file'`. */
export interface BackupFile {
  /** In the data folder. */
  readonly path: string
  /** Where it can be read now. */
  readonly source: string
  /** To be copied up to here. */
  readonly bytes: number
  /** CRC-32, where the catalog knows it. */
  readonly checksum: number | null
  /** Its bytes never change. */
  readonly fixed: boolean
  /** It may go while the backup is made: ids that are forgotten, or a slice, which can be folded again. */
  readonly optional?: true
}

export interface StoredFile {
  /** In the data folder. */
  readonly path: string
  /** In `files/` of the backup. */
  readonly stored: string
  readonly bytes: number
  readonly checksum: number
  readonly fixed: boolean
}

export interface BackupManifest extends BackupBegin {
  readonly files: readonly StoredFile[]
}
