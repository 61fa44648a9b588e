/**
 * What the server and the live engine say to each other over the child process's IPC channel: numbered calls with one
 * answer each, and notices without an answer. Pure types; both sides check nothing else, since they are one release.
 */

import type { LogManifest } from '../log/types.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'
import type { ErrorBody } from '../model/errors.ts'
import type {
  CapturedView,
  Delta,
  EngineProgress,
  EngineSpec,
  EngineView,
  EventPosition,
  LogSources,
  PublishedAs,
  ReadStamp,
  Rows,
  SealedGeneration,
  SliceInfo,
  SqlRead,
  ViewRead,
} from './engine.ts'

/** Every call: its arguments and its answer. */
export interface LiveCalls {
  start: { args: EngineSpec; result: { readonly badSlices: readonly SliceInfo[] } }
  setSources: { args: LogSources; result: undefined }
  seal: {
    args: {
      readonly views: readonly { readonly view: string; readonly version: VersionId }[]
      readonly stagingDir: string
    }
    result: readonly SealedGeneration[]
  }
  published: {
    args: {
      readonly view: string
      readonly version: VersionId
      readonly sealed: CommitSeq
      readonly slices: readonly SliceInfo[]
      readonly as?: PublishedAs
    }
    result: undefined
  }
  addVersion: { args: EngineView; result: undefined }
  removeVersion: { args: { readonly view: string; readonly version: VersionId }; result: undefined }
  setServing: { args: Readonly<Record<string, VersionId>>; result: ReadStamp }
  skip: {
    args: { readonly view: string; readonly version: VersionId; readonly position: EventPosition }
    result: undefined
  }
  read: { args: ViewRead; result: Rows & ReadStamp }
  sql: { args: SqlRead; result: Rows & ReadStamp }
  capture: {
    args: { readonly views: readonly string[]; readonly stagingDir: string }
    result: readonly CapturedView[]
  }
  delta: {
    args: {
      readonly view: string
      readonly from: CommitSeq
      readonly to?: CommitSeq
      readonly version?: VersionId
      readonly repaired?: number
    }
    result: Delta & ReadStamp
  }
}

export type LiveMethod = keyof LiveCalls

export type ToEngine =
  | { readonly kind: 'call'; readonly id: number; readonly method: LiveMethod; readonly args: unknown }
  | { readonly kind: 'cancel'; readonly id: number }
  | { readonly kind: 'advance'; readonly log: LogManifest }
  | { readonly kind: 'stop' }

export type FromEngine =
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly error: ErrorBody }
  | { readonly kind: 'progress'; readonly progress: EngineProgress }
