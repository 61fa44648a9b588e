/** What the HTTP surface asks of the running system about views that are not folded. Pure types. */

import type { DeployAuthor } from '../deploy/types.ts'
import type { VersionId } from '../model/cut.ts'

export interface PauseInfo {
  readonly view: string
  readonly version: VersionId
  readonly reason: string
  /** Since when, ISO 8601. */
  readonly at: string
  /** What its readers get meanwhile: its last batch, or an error. */
  readonly answers: 'stale' | 'refuse'
}

export interface CorePauses {
  list(): readonly PauseInfo[]
  /** The version that answers is not folded any more. Throws VIEW_UNKNOWN. */
  pause(view: string, reason: string, author: DeployAuthor): Promise<PauseInfo>
  /** Folds every version of the view again; answers those that were paused. Throws VIEW_UNKNOWN. */
  resume(view: string, author: DeployAuthor): Promise<readonly PauseInfo[]>
}
