/** What a deploy asks of the rest of the server. Pure types. */

import type { ProjectDef } from '../../define/types.ts'
import type { VersionId } from '../../model/cut.ts'
import type { CompareBatch } from '../batch/compare-batch.ts'
import type { ServerContext } from '../context.ts'
import type { Deploy } from './deploy-record.ts'

export interface DeployParts {
  readonly context: ServerContext
  /**
   * Runs a batch of a view that is to run as lambda, and publishes it unless `hold` throws. Rejects with what it threw,
   * or with why there is no such batch.
   */
  runBatch(view: string, hold: CompareBatch, signal: AbortSignal): Promise<void>
  /** New streams and changed ones are taken in, and the engine knows them. */
  takeStreams(project: ProjectDef): Promise<void>
  /** The pointers have moved: definitions are taken over, versions that nobody needs are let go of. */
  afterCutover(deploy: Deploy): Promise<void>
  /** Takes versions that are over out of the engine. */
  letGo(versions: readonly { readonly view: string; readonly version: VersionId }[]): Promise<void>
}
