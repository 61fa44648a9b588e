/** What the HTTP surface asks of the running system about deploys. Pure types. */

import type { DeployAuthor, DeployInfo } from '../deploy/types.ts'

/** As a client sent it; the system checks every field. */
export interface SentDeploy {
  readonly project: unknown
  readonly options: unknown
  readonly author: unknown
}

export interface SentRollback {
  readonly views?: readonly string[]
  readonly deploy?: number
  readonly reason: string
  readonly author: DeployAuthor
}

export interface CoreDeploys {
  /** Throws PROJECT_REFUSED, PROJECT_RECEIVED, DEPLOY_OPEN, DEPLOY_START. */
  deploy(sent: SentDeploy): Promise<DeployInfo>
  /** Oldest first. */
  list(): readonly DeployInfo[]
  /** Throws DEPLOY_UNKNOWN, as all that take a number do. */
  show(id: number): DeployInfo
  /** Gives the deploy whenever it changed, until it waits for a word or is over. */
  watch(id: number, signal: AbortSignal): AsyncIterable<DeployInfo>
  pause(id: number, author: DeployAuthor): DeployInfo
  resume(id: number, author: DeployAuthor): DeployInfo
  accept(id: number, reason: string, author: DeployAuthor): DeployInfo
  cancel(id: number, reason: string, author: DeployAuthor): Promise<DeployInfo>
  /** Throws ROLLBACK_IMPOSSIBLE. */
  rollback(sent: SentRollback): Promise<DeployInfo>
}
