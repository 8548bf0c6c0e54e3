"""Stands in for a Kubernetes API server: TLS, a bearer token, the rights of a manifest, and every document checked against
Kubernetes' own published schema (the package kubernetes-validate). It keeps objects in memory and starts no containers.

Beside the TLS listener there is a plain one for the test itself: no token, no rights, same objects; and
GET /_test/log (every request of the TLS side), GET /_test/faults (documents that broke the schema).
Prints {"tls": port, "plain": port} when it listens."""

import argparse
import copy
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import yaml

SCHEMAS = ("1.25.0", "1.37.0")
KINDS = {  # resource -> (API group, version of a document, kind)
    "deployments": ("apps", "apps/v1", "Deployment"),
    "services": ("", "v1", "Service"),
    "persistentvolumeclaims": ("", "v1", "PersistentVolumeClaim"),
    "pods": ("", "v1", "Pod"),
    "nodes": ("", "v1", "Node"),
}


def merged(into, patch):
    """A strategic merge of documents without lists of objects."""
    out = copy.deepcopy(into)
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merged(out[key], value)
        elif value is None:
            out.pop(key, None)
        else:
            out[key] = value
    return out


def selected(thing, selector):
    labels = thing["metadata"].get("labels", {})
    wanted = [part.split("=", 1) for part in selector.split(",") if part]
    return all(labels.get(key) == value for key, value in wanted)


class Cluster:
    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.objects = {}  # (resource, namespace, name) -> document
        self.log = []
        self.faults = []
        self.next_ip = 0
        self.rules = []
        with open(options.rights, encoding="utf-8") as file:
            for document in yaml.safe_load_all(file):
                self.check(document)
                if document["kind"] in ("Role", "ClusterRole"):
                    scope = document["metadata"].get("namespace", "")
                    self.rules += [(scope, rule) for rule in document["rules"]]

    def check(self, document):
        try:
            for release in SCHEMAS:
                kubernetes_validate.validate(document, release, strict=True)
            return None
        except Exception as error:  # the package raises several kinds
            text = str(error).split("\n", 1)[0]
            self.faults.append({"error": text, "document": document})
            return text

    def may(self, verb, resource, namespace):
        group = KINDS[resource][0] if resource in KINDS else ""
        return any(
            (scope == "" or scope == namespace)
            and group in rule["apiGroups"]
            and resource in rule["resources"]
            and verb in rule["verbs"]
            for scope, rule in self.rules
        )

    def token(self):
        with open(self.options.token, encoding="utf-8") as file:
            return file.read().strip()

    def settle(self, resource, document):
        """What controllers of a real cluster would do."""
        meta = document["metadata"]
        if resource == "services":
            spec = document["spec"]
            spec.setdefault("clusterIP", self.options.cluster_ip)
            if spec["type"] == "NodePort":
                spec["ports"][0].setdefault("nodePort", 30000 + len(self.objects))
        if resource == "deployments":
            key = ("pods", meta["namespace"], meta["name"] + "-0")
            if document["spec"]["replicas"] == 0:
                self.objects.pop(key, None)
            elif key not in self.objects:
                template = copy.deepcopy(document["spec"]["template"])
                template["metadata"]["name"] = key[2]
                template["metadata"]["polls"] = 0
                self.objects[key] = template

    def shown(self, resource, document):
        out = copy.deepcopy(document)
        if resource != "pods":
            return out
        polls = document["metadata"]["polls"]
        document["metadata"]["polls"] = polls + 1
        del out["metadata"]["polls"]
        out["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        if polls == 0:
            waiting = {"waiting": {"reason": "ContainerCreating"}}
            out["status"] = {"phase": "Pending", "containerStatuses": [{"name": "app", "state": waiting}]}
        return out

    def answer(self, method, target, body, trusted):
        """Status and document for one request; the lock is held."""
        parts = urlsplit(target)
        path = [part for part in parts.path.split("/") if part]
        query = parse_qs(parts.query)
        if path == ["api"]:
            return 200, {"kind": "APIVersions", "versions": ["v1"]}
        if path == ["version"]:
            return 200, {"major": "1", "minor": "31", "gitVersion": "v1.31.0-stand-in"}
        if path[-1:] == ["selfsubjectaccessreviews"]:
            wrong = self.check(body)
            if wrong:
                return self.status(422, wrong)
            asked = body["spec"]["resourceAttributes"]
            allowed = self.may(asked["verb"], asked["resource"], asked.get("namespace", ""))
            return 201, {"status": {"allowed": allowed}}
        namespace, rest = "", path[3:] if path[0] == "apis" else path[2:]
        if rest[:1] == ["namespaces"]:
            namespace, rest = rest[1], rest[2:]
        resource, name = rest[0], rest[1] if len(rest) > 1 else ""
        if resource not in KINDS:
            return self.status(404, "the server could not find the requested resource")
        verb = {"GET": "get" if name else "list", "POST": "create", "PATCH": "patch", "DELETE": "delete"}.get(method)
        if not trusted and not self.may(verb, resource, namespace):
            return self.status(403, f"{resource} is forbidden: cannot {verb}")
        return getattr(self, verb)(resource, namespace, name, query, body)

    @staticmethod
    def status(code, message):
        return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}

    def get(self, resource, namespace, name, query, body):
        found = self.objects.get((resource, namespace, name))
        if found is None:
            return self.status(404, f'{resource} "{name}" not found')
        return 200, self.shown(resource, found)

    def list(self, resource, namespace, name, query, body):
        selector = query.get("labelSelector", [""])[0]
        field = query.get("fieldSelector", [""])[0]
        items = [
            self.shown(resource, document)
            for key, document in sorted(self.objects.items())
            if key[:2] == (resource, namespace)
            and selected(document, selector)
            and (not field or field == "metadata.name=" + key[2])
        ]
        return 200, {"kind": "List", "items": items}

    def create(self, resource, namespace, name, query, body):
        wrong = self.check(body)
        _, version, kind = KINDS[resource]
        if not wrong and (body["apiVersion"], body["kind"]) != (version, kind):
            wrong = "the kind of the document is not that of the path"
        if not wrong and body["metadata"].get("namespace", "") != namespace:
            wrong = "the namespace of the document is not that of the path"
        if wrong:
            return self.status(422, wrong)
        key = (resource, namespace, body["metadata"]["name"])
        if key in self.objects:
            return self.status(409, f'{resource} "{key[2]}" already exists')
        self.settle(resource, body)
        self.objects[key] = body
        return 201, body

    def patch(self, resource, namespace, name, query, body):
        key = (resource, namespace, name)
        if key not in self.objects:
            return self.status(404, f'{resource} "{name}" not found')
        fresh = merged(self.objects[key], body)
        wrong = self.check(fresh)
        if wrong:
            return self.status(422, wrong)
        self.objects[key] = fresh
        self.settle(resource, fresh)
        return 200, fresh

    def delete(self, resource, namespace, name, query, body):
        if self.objects.pop((resource, namespace, name), None) is None:
            return self.status(404, f'{resource} "{name}" not found')
        if resource == "deployments":
            self.objects.pop(("pods", namespace, name + "-0"), None)
        return 200, {"kind": "Status", "status": "Success"}


def handler(cluster, trusted):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words):
            pass

        def reply(self, code, document):
            body = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def serve(self):
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with cluster.lock:
                if trusted and self.path == "/_test/log":
                    return self.reply(200, cluster.log)
                if trusted and self.path == "/_test/faults":
                    return self.reply(200, cluster.faults)
                if not trusted:
                    good = self.headers.get("Authorization") == "Bearer " + cluster.token()
                    code, document = (0, None) if good else cluster.status(401, "Unauthorized")
                    body = json.loads(raw) if raw else None
                    if good:
                        code, document = cluster.answer(self.command, self.path, body, False)
                    line = {"method": self.command, "target": self.path, "status": code, "body": raw.decode(),
                            "type": self.headers.get("Content-Type", "")}
                    cluster.log.append(line)
                    return self.reply(code, document)
                return self.reply(*cluster.answer(self.command, self.path, json.loads(raw) if raw else None, True))

        do_GET = do_POST = do_PATCH = do_DELETE = serve

    return Handler


def main():
    options = argparse.ArgumentParser()
    for name in ("certificate", "key", "token", "rights"):
        options.add_argument("--" + name, required=True)
    options.add_argument("--cluster-ip", default="127.0.0.1")
    cluster = Cluster(options.parse_args())
    secured = ThreadingHTTPServer(("127.0.0.1", 0), handler(cluster, False))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cluster.options.certificate, cluster.options.key)
    secured.socket = context.wrap_socket(secured.socket, server_side=True, do_handshake_on_connect=False)
    plain = ThreadingHTTPServer(("127.0.0.1", 0), handler(cluster, True))
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    print(json.dumps({"tls": secured.server_port, "plain": plain.server_port}), flush=True)
    secured.serve_forever()


if __name__ == "__main__":
    main()
