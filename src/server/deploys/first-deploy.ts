/**
 * The first deploy of an empty data folder: there is nothing to fold and nobody to see a difference, so all views
 * are put in place at once, as a deploy like any other on record. No state.
 */

import { addDeploy } from '../../catalog/deploys.ts'
import { recordAudit } from '../../catalog/journal.ts'
import { setRuns } from '../../catalog/runs.ts'
import { addVersion, moveServing, type NewVersion } from '../../catalog/versions.ts'
import type { ProjectDef } from '../../define/types.ts'
import { defaultDeployOptions } from '../../deploy/deploy-options.ts'
import type { DeployAuthor } from '../../deploy/types.ts'
import type { JsonValue } from '../../model/schema.ts'
import type { ServerContext } from '../context.ts'
import { keepReferences } from '../keep-references.ts'
import { wantedRuns } from '../run-moves.ts'
import { authorDetails } from './cut-over.ts'
import { deployedViews, keptRequest, stepDeploy, viewDetails } from './deploy-record.ts'
import { planOf } from './plan-deploy.ts'

export function deployAtOnce(
  context: ServerContext,
  project: ProjectDef,
  wanted: readonly NewVersion[],
  author: DeployAuthor,
): void {
  const { catalog, clock, folder } = context
  for (const { files = [] } of wanted) keepReferences(folder.root, files)
  const plan = planOf(context, project, wanted)
  const views = deployedViews(plan)
  const request = { project, options: defaultDeployOptions(project), author }
  catalog.transaction('add-deploy', () => {
    for (const version of wanted) addVersion(catalog, version)
    moveServing(catalog, Object.fromEntries(wanted.map(({ view, version }) => [view, version])), 0)
    setRuns(catalog, wantedRuns(wanted))
    const id = addDeploy(catalog, {
      state: 'live',
      who: author.who,
      request: keptRequest(request) as unknown as JsonValue,
      plan: plan as unknown as JsonValue,
    })
    const gained = { views, seconds: 0, events: 0, bytes: 0, cutoverAt: 0, liveMs: clock.nowMs() }
    stepDeploy(catalog, id, { gained })
    recordAudit(catalog, 'cutover', {
      deploy: id,
      ...authorDetails(author),
      cut: 0,
      views: viewDetails(views),
    })
  })
  context.crash('deploy.recorded')
}
