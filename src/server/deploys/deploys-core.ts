/** What the HTTP surface asks about deploys, led to the deploys. No state. */

import { receivedProject } from '../../define/received-project.ts'
import { receivedAuthor, receivedOptions } from '../../deploy/deploy-options.ts'
import type { CoreDeploys } from '../../serve/core-deploys.ts'
import type { CoreParts } from '../core-parts.ts'
import { refusingProject } from './refused-project.ts'

export function createDeploysCore({ deploys, project }: Pick<CoreParts, 'deploys' | 'project'>): CoreDeploys {
  return {
    async deploy(sent) {
      const received = receivedProject(sent.project, project())
      const options = receivedOptions(sent.options, received)
      return await refusingProject(() => deploys.deploy(received, options, receivedAuthor(sent.author)))
    },
    list: () => deploys.list(),
    show: (id) => deploys.show(id),
    watch: (id, signal) => deploys.watch(id, signal),
    pause: (id, author) => deploys.pause(id, author),
    resume: (id, author) => deploys.resume(id, author),
    accept: (id, reason, author) => deploys.accept(id, reason, author),
    cancel: (id, reason, author) => deploys.cancel(id, reason === '' ? 'cancelled' : reason, author),
    rollback: (request) => deploys.rollback(request),
  }
}
