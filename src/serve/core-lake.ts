/** What the HTTP surface asks of the running system about the lake and backups. Pure types. */

import type { CommitSeq } from '../model/cut.ts'
import type { JsonValue } from '../model/schema.ts'

export interface TrimRequest {
  readonly stream: string
  /** Events up to here go: rounded down to a border of the stream's lake files. */
  readonly to: { readonly cut: CommitSeq } | { readonly timeMs: number }
  /** Record the states that versions need at that cut as bases first. */
  readonly promote?: boolean
  /** Only say what would go, and who needs it. */
  readonly dryRun?: boolean
  /** For the audit. */
  readonly reason?: string
}

export interface TrimAnswer {
  readonly stream: string
  /** Events up to this cut went, or would go; where the stream begins already when nothing does. */
  readonly cut: CommitSeq
  readonly files: number
  readonly events: number
  readonly bytes: number
  readonly needs: readonly {
    readonly view: string
    readonly version: string
    readonly state: string
    readonly by: 'base' | 'slices' | 'fold'
    /** It needs --promote. */
    readonly promoted: boolean
  }[]
  /** False for a dry run, and when there was nothing to trim. */
  readonly done: boolean
}

/** One fault of the lake; `path` where it is about a file. */
export interface LakeCheckFault {
  readonly kind: 'missing' | 'damaged' | 'extra' | 'offsets' | 'rows' | 'hand-over'
  readonly stream?: string
  readonly path?: string
  readonly text: string
}

export interface LakeCheckAnswer {
  readonly through: CommitSeq
  readonly files: number
  readonly bytes: number
  readonly rows: number
  readonly faults: readonly LakeCheckFault[]
}

export interface CoreLake {
  /** Ranges and files by stream. */
  list(): JsonValue
  check(signal?: AbortSignal): Promise<LakeCheckAnswer>
  trim(request: TrimRequest): Promise<TrimAnswer>
  /** Lines of the backup's manifest; files stay as long as the iteration goes on. */
  backup(options: { readonly slices: boolean; readonly signal: AbortSignal }): AsyncIterable<JsonValue>
}
