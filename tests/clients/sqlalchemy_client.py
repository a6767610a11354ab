"""SQLAlchemy over psycopg 3: its first words on a connection, reflection of the schema, the ORM's
queries, an insert with RETURNING that is rolled back, refusals in a pool."""

from decimal import Decimal

import sqlalchemy
from sqlalchemy import ForeignKey, func, inspect, select, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

from common import DATABASE, HOST, PORT, REFUSED, USER, check, libpq_parameters, report


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    region: Mapped[str]
    orders: Mapped[list["Order"]] = relationship(back_populates="customer", order_by="Order.id")


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"))
    customer: Mapped[Customer] = relationship(back_populates="orders")
    items: Mapped[list["OrderItem"]] = relationship(order_by="OrderItem.line")


class OrderItem(Base):
    __tablename__ = "order_items"
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    quantity: Mapped[int]
    price: Mapped[Decimal]


class Ticket(Base):
    __tablename__ = "tickets"
    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str]
    body: Mapped[str]


def reflection(engine):
    inspector = inspect(engine)
    tables = inspector.get_table_names()
    check("tables", True, {"customers", "orders", "products", "tickets"} <= set(tables))
    check("views", True, "order_totals" in inspector.get_view_names())
    columns = {column["name"]: str(column["type"]) for column in inspector.get_columns("products")}
    check("columns", ("INTEGER", "NUMERIC(10, 2)", "JSONB"), tuple(columns[c] for c in ("id", "price", "attributes")))
    check("primary key", ["order_id", "line"], inspector.get_pk_constraint("order_items")["constrained_columns"])
    key = inspector.get_foreign_keys("orders")[0]
    check("foreign key", ("customers", ["id"]), (key["referred_table"], key["referred_columns"]))
    check("index", True, "orders_customer" in [index["name"] for index in inspector.get_indexes("orders")])
    check("comment", "People who have bought something", inspector.get_table_comment("customers")["text"])
    metadata = sqlalchemy.MetaData()
    metadata.reflect(engine, only=["customers", "orders", "order_items", "products", "tickets"])
    check("the whole of it", 5, len(metadata.tables))
    products = metadata.tables["products"]
    with engine.connect() as conn:
        row = conn.execute(select(products).where(products.c.sku == "COF-001")).one()
    check("a reflected table", ("Espresso beans", "dark"), (row.name, row.attributes["roast"]))


def orm(session):
    customer = session.get(Customer, 1)
    check("get", ("Ben Brandt", "US"), (customer.name, customer.region))
    query = (
        select(Customer)
        .join(Customer.orders)
        .options(selectinload(Customer.orders).selectinload(Order.items))
        .where(Customer.region == "EU", Customer.id <= 24)
        .order_by(Customer.id)
        .distinct()
    )
    customers = session.scalars(query).unique().all()
    check("a join", [3, 6, 9], [customer.id for customer in customers][:3])
    check("what hangs on it", {1, 2}, {item.line for c in customers for o in c.orders for item in o.items})
    total = select(func.sum(OrderItem.quantity * OrderItem.price)).where(OrderItem.order_id == 1)
    check("an aggregate", Decimal, type(session.scalar(total)))


def insert(session):
    tickets = [Ticket(subject="by SQLAlchemy", body=f"ticket {n}") for n in range(3)]
    session.add_all(tickets)
    session.flush()
    check("generated keys", True, all(ticket.id > 100 for ticket in tickets))
    count = select(func.count()).select_from(Ticket).where(Ticket.subject == "by SQLAlchemy")
    check("inserted", 3, session.scalar(count))
    session.rollback()
    check("the rollback", 0, session.scalar(count))


def refusals(engine):
    for _ in range(2):
        with engine.connect() as conn:
            try:
                conn.execute(text(REFUSED))
                check("a refusal", "refused", "answered")
            except ProgrammingError as refusal:
                check("SQLSTATE", "42501", refusal.orig.sqlstate)
            conn.rollback()
            name = conn.scalar(text("SELECT name FROM products WHERE id = :id"), {"id": 1})
            check("the session goes on", "Green tea", name)


def program():
    parameters = libpq_parameters()
    for known in ("host", "port", "user", "dbname"):
        del parameters[known]
    url = sqlalchemy.URL.create("postgresql+psycopg", USER, host=HOST, port=PORT, database=DATABASE)
    # One connection, so that what one part leaves behind the next one finds.
    engine = sqlalchemy.create_engine(url, connect_args=parameters, pool_size=1, max_overflow=0)
    reflection(engine)
    with Session(engine) as session:
        orm(session)
        insert(session)
    refusals(engine)
    engine.dispose()


report("sqlalchemy", program)
