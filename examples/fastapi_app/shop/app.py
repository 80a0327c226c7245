"""The shop: products, and orders of them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from sqlmig import Migrator

from .models import Order, Product

MIGRATIONS = Path(__file__).parents[1] / "migrations" / "versions"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Requests come in when the database is at the newest version, in each worker."""
    engine = create_async_engine(os.environ.get("SHOP_DATABASE", "sqlite+aiosqlite:///shop.db"))
    await Migrator(engine, MIGRATIONS).migrate_async()
    app.state.engine = engine
    yield
    await engine.dispose()


app = FastAPI(title="Shop", lifespan=lifespan)


async def session(request: Request) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(request.app.state.engine) as opened, opened.begin():
        yield opened


Session = Annotated[AsyncSession, Depends(session, scope="function")]


class NewOrder(BaseModel):
    product: str
    amount: int = 1


@app.get("/products")
async def products(session: Session) -> dict[str, int]:
    found = await session.scalars(select(Product).order_by(Product.name))
    return {product.name: product.cents for product in found}


@app.post("/orders", status_code=201)
async def order(new: NewOrder, session: Session) -> dict[str, int]:
    product = await session.scalar(select(Product).where(Product.name == new.product))
    if product is None:
        raise HTTPException(404, f"There is no {new.product}.")
    made = Order(product_id=product.id, amount=new.amount)
    session.add(made)
    await session.flush()
    return {"id": made.id, "cents": product.cents * new.amount}
