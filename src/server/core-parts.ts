/** What the core is made of: the parts of the server that its methods ask. Pure types. */

import type { ProjectDef } from '../define/types.ts'
import type { JsonValue } from '../model/schema.ts'
import type { Batches } from './batch/batches.ts'
import type { Checks } from './checks/checks.ts'
import type { ServerContext } from './context.ts'
import type { Deploys } from './deploys/deploys.ts'
import type { EngineMeters } from './engine-meters.ts'
import type { LakeTrimming } from './lake/trimming.ts'
import type { Pauses } from './pauses.ts'
import type { Sealing } from './sealing.ts'
import type { Verify } from './verify/verify.ts'
import type { ViewVersions } from './view-versions.ts'

export interface CoreParts {
  readonly context: ServerContext
  readonly project: () => ProjectDef
  readonly versions: ViewVersions
  readonly deploys: Deploys
  /** How the project's file differs from what is deployed; undefined: it does not, or is not served that way. */
  readonly differs: () => JsonValue | undefined
  readonly sealing: Sealing
  readonly batches: Batches
  readonly trimming: LakeTrimming
  readonly checks: Checks
  readonly verify: Verify
  readonly pauses: Pauses
  readonly meters: EngineMeters
}
