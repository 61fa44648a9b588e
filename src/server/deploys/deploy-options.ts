/** What a deploy does where nobody says otherwise. Pure. */

import type { ProjectDef } from '../../define/types.ts'
import type { DeployOptions } from '../../deploy/types.ts'

/** A replay makes way when a live view is further behind than this. */
const LAG_MS = 1_000
const WARM_MS = 24 * 3_600_000

export function defaultDeployOptions(_project: ProjectDef): DeployOptions {
  return {
    shadow: false,
    from: { kind: 'zero' },
    budget: { lagMs: LAG_MS },
    warmMs: WARM_MS,
    autoRollback: { checks: true },
  }
}
