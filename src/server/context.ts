/**
 * What the parts of the running server share: handles, never copies. Each part owns its own state; this only says
 * where the others are. `publications` is the one turn in which the catalog's manifests change and engines start.
 */

import type { Catalog } from '../catalog/open-catalog.ts'
import type { Serving } from '../catalog/versions.ts'
import type { PlannedFunction } from '../define/function-def.ts'
import type { Job, JobResult } from '../engine/engine.ts'
import type { JobOptions } from '../engine/run-job.ts'
import type { StartedWorker } from '../engine/started-worker.ts'
import type { CommitLog } from '../log/commit-log.ts'
import type { LogReader } from '../log/reader.ts'
import type { CommitSeq } from '../model/cut.ts'
import type { RefoldError } from '../model/errors.ts'
import type { StreamDef } from '../model/schema.ts'
import type { SealPolicy, SegmentPolicy } from '../run/kappa.ts'
import type { Clock } from '../std/clock.ts'
import type { Logger } from '../std/logger.ts'
import type { Serial } from '../std/serial.ts'
import type { CommitHistory } from './commit-history.ts'
import type { ServerCrashPoint } from './crash-point.ts'
import type { DataFolder } from './data-folder.ts'
import type { EngineSupervisor } from './engine-supervisor.ts'
import type { LakeEvents } from './lake-events.ts'
import type { Past } from './past/past.ts'
import type { ReportJournal } from './past/report-journal.ts'
import type { SkipLedger } from './skip-ledger.ts'
import type { SourcePins } from './source-pins.ts'

export type RunJob = <K extends Job['kind']>(
  job: Extract<Job, { kind: K }>,
  options?: JobOptions,
) => Promise<Extract<JobResult, { kind: K }>>

export interface ServerContext {
  readonly clock: Clock
  readonly logger: Logger
  readonly folder: DataFolder
  readonly catalog: Catalog
  readonly log: CommitLog
  readonly reader: LogReader
  readonly history: CommitHistory
  readonly pins: SourcePins
  readonly skips: SkipLedger
  readonly lakeEvents: LakeEvents
  readonly supervisor: EngineSupervisor
  /** States of versions at earlier cuts, and questions over them. */
  readonly past: Past
  /** What answers showed, and when. */
  readonly reports: ReportJournal
  /** To be called when pointers were moved in catalog and engine: from now on readers get something else. */
  noteReport(): void
  readonly publications: Serial
  /** Runs a job in a worker process; few at a time, the others wait. */
  readonly runJob: RunJob
  /** Starts a worker for a fold that is about to come; whoever asked gives it to the job or ends it. */
  startFoldWorker(): StartedWorker
  sealPolicy(): SealPolicy
  readonly segmentPolicy: SegmentPolicy
  /** `view@version` → why it cannot answer: a base of it is damaged, and the events are gone. */
  readonly lostBases: Map<string, RefoldError>
  /** Who follows a view's changes, each with the cut it has reached; a new engine keeps the states at these cuts. */
  readonly followers: Set<{ cut: CommitSeq }>
  /** By view: the cut that the batch under way folds up to; an engine that is started stops there once. */
  readonly batchCuts: Map<string, CommitSeq>
  /** By `view@version`: the last batch that found what was served wrong, and put it right. */
  readonly repairs: Map<string, number>
  /** Called at every crash point; in production it does nothing. */
  crash(point: ServerCrashPoint): void
  streams(): readonly StreamDef[]
  /** Functions in TypeScript of the project that is served, for SQL that calls them by name. */
  functions(): readonly PlannedFunction[]
  /** Which versions answer, as the catalog has it; the same object while nothing is published. */
  serving(): Serving
  /** True from the beginning of the server's end: background work stops at its next step. */
  closing(): boolean
}
