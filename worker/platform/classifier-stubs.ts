/** The classifiers' objects behind their stubs: each call by a stub of its own, which costs nothing. */
import type { ClassifierClient, ClassifierDirectory, ClassifierIndexClient } from '../classify/classifier.ts';

/** A namespace of objects in another script, whose class is not imported here. */
export interface ObjectNamespace<Client> {
  getByName(name: string): Client;
}

export function classifierStubs(
  classifiers: ObjectNamespace<ClassifierClient>,
  indexes: ObjectNamespace<ClassifierIndexClient>,
): ClassifierDirectory {
  return {
    classifier(tenant, id) {
      const stub = (): ClassifierClient => classifiers.getByName(`${tenant}/${id}`);
      return {
        create: (request) => stub().create(request),
        addExamples: (uploadId, examples) => stub().addExamples(uploadId, examples),
        commit: (options) => stub().commit(options),
        abandon: (uploadId) => stub().abandon(uploadId),
        train: () => stub().train(),
        snapshot: () => stub().snapshot(),
        report: (version) => stub().report(version),
        model: (version) => stub().model(version),
        versionNumber: (version) => stub().versionNumber(version),
        importModel: (imported) => stub().importModel(imported),
        remove: () => stub().remove(),
      };
    },
    index(tenant) {
      const stub = (): ClassifierIndexClient => indexes.getByName(tenant);
      return {
        add: (entry) => stub().add(entry),
        remove: (id) => stub().remove(id),
        list: (after, limit) => stub().list(after, limit),
        clear: () => stub().clear(),
      };
    },
  };
}
