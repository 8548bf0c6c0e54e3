"""A real ExApp on nc_py_api, as its authors' template has it: the framework checks AppAPI's headers by itself."""

from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, WebSocket
from nc_py_api import NextcloudApp
from nc_py_api.ex_app import AppAPIAuthMiddleware, nc_app, run_app, set_handlers

ENABLED = []


def enabled_handler(enabled: bool, nc: NextcloudApp) -> str:
    ENABLED.append(enabled)
    return ""


@asynccontextmanager
async def lifespan(app: FastAPI):
    set_handlers(app, enabled_handler)
    yield


APP = FastAPI(lifespan=lifespan)
APP.add_middleware(AppAPIAuthMiddleware)


@APP.get("/public")
def public(nc: Annotated[NextcloudApp, Depends(nc_app)]):
    return {"route": "public", "user": nc.user, "enabled": ENABLED}


@APP.get("/user")
def user(nc: Annotated[NextcloudApp, Depends(nc_app)]):
    return {"route": "user", "user": nc.user}


@APP.get("/admin")
def admin(nc: Annotated[NextcloudApp, Depends(nc_app)]):
    return {"route": "admin", "user": nc.user}


@APP.websocket("/ws")
async def echo(socket: WebSocket):
    await socket.accept()
    while True:
        await socket.send_text(await socket.receive_text())


if __name__ == "__main__":
    run_app("exapp_nc_py_api:APP", log_level="warning")
